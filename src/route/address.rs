//! Does an address lie in a network? Text alone: nothing here knows a socket.

use core::net::{IpAddr, Ipv6Addr};

/// A network of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `10.0.0.0/24`. A network of one address is none to the engine, which wants fewer bits than there are.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.split_once('/')?;
        let base = address(base)?;
        let plain = !bits.is_empty() && bits.len() <= 3 && bits.bytes().all(|digit| digit.is_ascii_digit());
        let bits = plain.then(|| bits.parse().ok()).flatten()?;
        (bits < if base.is_ipv4() { 32 } else { 128 }).then_some(Self { base, bits })
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        match (self.base, address(text)) {
            (IpAddr::V4(base), Some(IpAddr::V4(other))) => {
                (base.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits
            }
            (IpAddr::V6(base), Some(IpAddr::V6(other))) => {
                (base.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

/// An address; one of IPv4 that is written as IPv6 (`::ffff:a00:1`) is one of IPv4. Mixed forms are no addresses.
fn address(text: &str) -> Option<IpAddr> {
    if !text.contains(':') {
        return text.parse().ok();
    }
    let address: Ipv6Addr = text.parse().ok().filter(|_| !text.contains('.'))?;
    Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_networks_of_their_family() {
        let inside = |network: &str, address: &str| Network::parse(network).unwrap().contains(address);
        assert!(inside("10.0.0.0/24", "10.0.0.255") && !inside("10.0.0.0/24", "10.0.1.0"));
        assert!(inside("10.0.0.77/24", "10.0.0.1") && inside("0.0.0.0/0", "255.1.2.3"));
        assert!(inside("2001:db8::/32", "2001:DB8:ffff::1") && !inside("2001:db8::/32", "2001:db9::"));
        assert!(inside("10.0.0.0/24", "::ffff:a00:7") && !inside("::/0", "10.0.0.7"));
        for no_address in ["", "10.0.0", "10.0.0.7/24", "10.0.0.256", "x", "::ffff:10.0.0.7", " 10.0.0.7"] {
            assert!(!inside("10.0.0.0/24", no_address), "{no_address}");
        }
        for wrong in ["10.0.0.0", "10.0.0.0/32", "10.0.0.0/-1", "::/128", "::/", "x/8", "10.0.0.0/+8", "1.2.3.4/8/9"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
