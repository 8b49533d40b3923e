//! To which addresses may a webhook be sent, by its URL and by the machine it leads to? Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use reqwest::header::HeaderValue;

/// The networks that no machine of the open internet has. The last number is the length of the prefix.
const PRIVATE_V4: [(Ipv4Addr, u32); 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Link-local: what a machine tells about itself to whoever asks from inside (`169.254.169.254`, `169.254.170.2`).
const LINK_LOCAL_V4: (Ipv4Addr, u32) = (Ipv4Addr::new(169, 254, 0, 0), 16);

/// The same for IPv6: all but the global unicast addresses, and what is special among those.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const SPECIAL_V6: [(Ipv6Addr, u32); 3] = [
    // Teredo and other protocol assignments.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation.
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
const LINK_LOCAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
/// The instance metadata of EC2.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// IPv4 inside IPv6: 6to4 has the address behind 16 bits, NAT64 in the last 32.
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// How far an address is from the open internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// An address of the open internet.
    Public,
    /// One of this machine or of a private network, or of no network at all: only with `allow_private`.
    Private,
    /// Link-local, where machines keep their own credentials: never.
    Never,
}

/// How far this address is. An IPv4 address inside an IPv6 one counts as what it is.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inside) => reach_v4(inside),
            None => reach_v6(address),
        },
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    if in_v4(address, LINK_LOCAL_V4) {
        Reach::Never
    } else if PRIVATE_V4.into_iter().any(|network| in_v4(address, network)) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if in_v6(address, LINK_LOCAL_V6) || address == METADATA_V6 {
        Reach::Never
    } else if in_v6(address, GLOBAL_V6) && !SPECIAL_V6.into_iter().any(|network| in_v6(address, network)) {
        Reach::Public
    } else {
        Reach::Private
    }
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    if in_v6(address, SIX_TO_FOUR) {
        return Some(Ipv4Addr::from_bits((bits >> 80) as u32));
    }
    if in_v6(address, NAT64) {
        return Some(Ipv4Addr::from_bits(bits as u32));
    }
    // `::a.b.c.d` too, which nothing should use any more; but not `::` and `::1`.
    address.to_ipv4().filter(|_| bits > 1)
}

fn in_v4(address: Ipv4Addr, (network, prefix): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0
}

fn in_v6(address: Ipv6Addr, (network, prefix): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - prefix) == 0
}

/// Why a URL is not taken: what is wrong, and the cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found}; {cure}")]
pub struct NotATarget {
    /// What is wrong.
    pub found: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

/// The URL a webhook is sent to, as far as its text tells: `https`, or `http` to a loopback host; without a password.
///
/// # Errors
/// [`NotATarget`] for every other text.
pub fn target(text: &str, allow_private: bool) -> Result<Url, NotATarget> {
    let refuse = |found, cure| Err(NotATarget { found, cure });
    let Ok(url) = Url::parse(text) else {
        return refuse("not a URL", "write it out: \"https://example.com/hook\"");
    };
    let Some(host) = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']')) else {
        return refuse("a URL without a host", "write it out: \"https://example.com/hook\"");
    };
    let address = host.parse::<IpAddr>().ok();
    // RFC 6761: `localhost` and what is below it is this machine.
    let named_local = host.trim_end_matches('.') == "localhost" || host.trim_end_matches('.').ends_with(".localhost");
    let loopback = named_local || address.is_some_and(|address| address.to_canonical().is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return refuse("anybody on the way could read `http`", "use `https`; `http` is for a loopback host"),
        _ => return refuse("another scheme than `https`", "a webhook is called with `https`"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("the URL carries a password", "take it out: calls are signed with `secret`");
    }
    if url.fragment().is_some() {
        return refuse("the URL has a fragment, which is never sent", "take out the `#` and what follows");
    }
    let reach = if named_local { Reach::Private } else { address.map_or(Reach::Public, reach) };
    match reach {
        Reach::Never => refuse("a link-local address, where a machine keeps its own credentials", "name another host"),
        Reach::Private if !allow_private => {
            refuse("an address of this machine or of a private network", "if that is meant, set `allow_private = true`")
        }
        _ => Ok(url),
    }
}

/// What messages call the target: its origin, since path and query may be secrets of their own.
pub fn shown(url: &Url) -> String {
    // An origin is ASCII without controls; should that ever not hold, nothing is shown.
    let origin = url.origin().ascii_serialization();
    if HeaderValue::from_str(&origin).is_ok() { origin } else { "the webhook".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_open_internet_are_told_from_all_others() {
        let of = |text: &str| reach(text.parse().unwrap());
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "192.169.0.1", "223.255.255.255", "2606:4700::1111"] {
            assert_eq!(of(public), Reach::Public, "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "172.31.255.255",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:0a00:0001::1",
            "64:ff9b:1::1",
        ] {
            assert_eq!(of(private), Reach::Private, "{private}");
        }
        for never in [
            "169.254.169.254",
            "169.254.170.2",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::",
        ] {
            assert_eq!(of(never), Reach::Never, "{never}");
        }
        assert_eq!(of("::ffff:8.8.8.8"), Reach::Public);
    }

    #[test]
    fn a_url_has_to_be_https_and_without_a_password() {
        let wrong = |text: &str| target(text, false).unwrap_err().found;
        for (text, found) in [
            ("example.com/hook", "not a URL"),
            ("https://", "not a URL"),
            ("http://example.com/", "anybody on the way could read `http`"),
            ("http://10.0.0.1/", "anybody on the way could read `http`"),
            ("ftp://example.com/", "another scheme than `https`"),
            ("data:text/plain,x", "a URL without a host"),
            ("https://user@example.com/", "the URL carries a password"),
            ("https://:x@example.com/", "the URL carries a password"),
            ("https://example.com/#x", "the URL has a fragment, which is never sent"),
            ("https://127.0.0.1/", "an address of this machine or of a private network"),
            ("https://2130706433/", "an address of this machine or of a private network"),
            ("https://0x7f.1/", "an address of this machine or of a private network"),
            ("http://localhost:8080/", "an address of this machine or of a private network"),
            ("https://api.localhost./", "an address of this machine or of a private network"),
            ("https://[::ffff:192.168.0.1]/", "an address of this machine or of a private network"),
        ] {
            assert_eq!(wrong(text), found, "{text}");
        }
        for never in
            ["https://169.254.169.254/latest/", "https://[fd00:ec2::254]/", "https://[::ffff:169.254.169.254]/"]
        {
            assert!(target(never, true).unwrap_err().found.starts_with("a link-local address"), "{never}");
        }
        assert!(target("https://example.com/hook?x=1", false).is_ok());
        for private in ["http://localhost:8080/", "http://[::1]/x", "http://127.9.9.9/", "https://10.0.0.1/"] {
            assert!(target(private, true).is_ok(), "{private}");
        }
        assert!(target("http://10.0.0.1/", true).is_err());
        assert_eq!(shown(&target("https://example.com:8443/secret?x=1", false).unwrap()), "https://example.com:8443");
    }
}
