//! What does an element of a pattern's array mean: a literal, or an operator with its operand?

use super::address::Network;
use super::case::AnyCase;
use super::decimal::Decimal;
use super::error::Fault;
use super::matcher::Matcher;
use super::numeric::{Bound, Range, double};
use super::parse::Parser;
use super::wildcard::Wildcard;
use crate::decode::json::{Elements, Members};

const RANGE_FORM: &str = "write one comparison, `[\"<\", 5]`, or a range, `[\">=\", 5, \"<\", 10]`";

impl Parser<'_> {
    /// Takes an element of a field's array.
    pub(super) fn matcher(&mut self) -> Result<Matcher, Fault> {
        Ok(match self.cursor.peek() {
            Some(b'"') => Matcher::Text(self.string()?.into()),
            Some(b'{') => return self.operator(),
            Some(b'[') => {
                return Err(self.fault("an array stands in an array", "write its values into the outer array"));
            }
            Some(b't') if self.cursor.literal("true") => Matcher::True,
            Some(b'f') if self.cursor.literal("false") => Matcher::False,
            Some(b'n') if self.cursor.literal("null") => Matcher::Null,
            _ => {
                let text = self.cursor.number()?;
                Matcher::Number { value: double(text), text: text.into() }
            }
        })
    }

    /// Takes `{"operator": operand}`.
    fn operator(&mut self) -> Result<Matcher, Fault> {
        let start = self.place();
        let mut members = Members::open(&mut self.cursor)?;
        if !members.has_next(&mut self.cursor)? {
            return Err(Fault::new(start, "the object is empty", "write an operator into it: `{\"prefix\": \"x\"}`"));
        }
        let at = self.place();
        let name = self.name()?;
        let matcher = self.operand(at, &name)?;
        self.close(&mut members)?;
        Ok(matcher)
    }

    fn operand(&mut self, at: usize, name: &str) -> Result<Matcher, Fault> {
        Ok(match name {
            "exactly" => Matcher::Text(self.text("exactly")?.into()),
            "equals-ignore-case" => Matcher::AnyCase(AnyCase::new(&self.text("equals-ignore-case")?)),
            "prefix" if self.cursor.peek() == Some(b'{') => Matcher::PrefixAnyCase(self.any_case("prefix")?),
            "prefix" => Matcher::Prefix(self.text("prefix")?.into()),
            "suffix" if self.cursor.peek() == Some(b'{') => Matcher::SuffixAnyCase(self.any_case("suffix")?),
            "suffix" => Matcher::Suffix(self.text("suffix")?.into()),
            "wildcard" => self.wildcard()?,
            "anything-but" => self.anything_but()?,
            "numeric" => Matcher::Numeric(self.range(Self::double, |one, other| one < other)?),
            "number" => return self.number(at),
            "exists" => match self.cursor.peek() {
                Some(b't') if self.cursor.literal("true") => Matcher::Present,
                Some(b'f') if self.cursor.literal("false") => Matcher::Absent,
                _ => return Err(self.fault("`exists` takes true or false", "write one of them, without quotes")),
            },
            "cidr" => {
                let place = self.place();
                let network = Network::parse(&self.text("cidr")?);
                let cure =
                    "write an address and how many of its bits count, fewer than all: `10.0.0.0/24`, `2001:db8::/32`";
                Matcher::Cidr(network.ok_or_else(|| Fault::new(place, "the network is none", cure))?)
            }
            _ => {
                let cure = "the operators are `prefix`, `suffix`, `equals-ignore-case`, `anything-but`, `numeric`, `exists`, `wildcard`, `cidr` and `exactly`";
                return Err(Fault::new(at, format!("there is no operator `{}`", name.escape_debug()), cure));
            }
        })
    }

    /// Closes the object of an operator.
    fn close(&mut self, members: &mut Members) -> Result<(), Fault> {
        if members.has_next(&mut self.cursor)? {
            return Err(
                self.fault("there are two operators in one object", "write an object for each: they are alternatives")
            );
        }
        Ok(())
    }

    /// Takes the string an operator works with.
    fn text(&mut self, operator: &str) -> Result<String, Fault> {
        match self.cursor.peek() {
            Some(b'"') => self.string(),
            _ => Err(self.fault(format!("`{operator}` takes a string"), "put the value into quotes")),
        }
    }

    /// Takes `{"equals-ignore-case": "text"}`.
    fn any_case(&mut self, operator: &str) -> Result<AnyCase, Fault> {
        let mut members = Members::open(&mut self.cursor)?;
        let at = self.place();
        if !members.has_next(&mut self.cursor)? || self.name()? != "equals-ignore-case" {
            let what = format!("`{operator}` takes a string or one form of object");
            return Err(Fault::new(at, what, "the form is `{\"equals-ignore-case\": \"text\"}`"));
        }
        let text = self.text("equals-ignore-case")?;
        self.close(&mut members)?;
        Ok(AnyCase::new(&text))
    }

    fn wildcard(&mut self) -> Result<Matcher, Fault> {
        let at = self.place();
        let text = self.text("wildcard")?;
        let cure = "write `*` for any characters, `\\\\*` for an asterisk and `\\\\\\\\` for a backslash";
        Wildcard::parse(&text)
            .map(Matcher::Wildcard)
            .map_err(|what| Fault::new(at, format!("the wildcard {what}"), cure))
    }

    /// Takes what must not be: a string or number, several of one kind, or an operator over strings.
    fn anything_but(&mut self) -> Result<Matcher, Fault> {
        let none_of = match self.cursor.peek() {
            Some(b'{') => {
                let mut members = Members::open(&mut self.cursor)?;
                let at = self.place();
                let name = if members.has_next(&mut self.cursor)? { self.name()? } else { String::new() };
                if !["prefix", "suffix", "equals-ignore-case", "wildcard"].contains(&name.as_str()) {
                    let cure = "the operators are `prefix`, `suffix`, `equals-ignore-case` and `wildcard`";
                    return Err(Fault::new(at, "`anything-but` does not work with this operator", cure));
                }
                let all = self.one_or_several(|parser| parser.excluded(&name))?;
                self.close(&mut members)?;
                all
            }
            _ => {
                let start = self.place();
                let all = self.one_or_several(Self::excluded_literal)?;
                let texts = all.iter().filter(|matcher| matches!(matcher, Matcher::Text(_))).count();
                if texts != 0 && texts != all.len() {
                    let cure = "write two objects, or only one kind";
                    return Err(Fault::new(start, "`anything-but` mixes strings and numbers", cure));
                }
                all
            }
        };
        Ok(Matcher::AnythingBut(none_of.into()))
    }

    fn one_or_several(&mut self, one: impl Fn(&mut Self) -> Result<Matcher, Fault>) -> Result<Vec<Matcher>, Fault> {
        if self.cursor.peek() != Some(b'[') {
            return Ok(vec![one(self)?]);
        }
        let start = self.place();
        let mut all = Vec::new();
        let mut elements = Elements::open(&mut self.cursor)?;
        while elements.next(&mut self.cursor)? {
            all.push(one(self)?);
        }
        if all.is_empty() {
            return Err(Fault::new(start, "the list is empty", "write at least one value into it"));
        }
        Ok(all)
    }

    fn excluded_literal(&mut self) -> Result<Matcher, Fault> {
        match self.cursor.peek() {
            Some(b'"') => Ok(Matcher::Text(self.string()?.into())),
            Some(b'-' | b'0'..=b'9') => {
                let value = self.double()?;
                // What is written otherwise but is the same number compares by its value.
                Ok(Matcher::Numeric(Range { from: closed(value), to: closed(value) }))
            }
            _ => {
                let cure = "write a string, a number, a list of one kind, or an operator: `{\"prefix\": \"x\"}`";
                Err(self.fault("`anything-but` does not take this", cure))
            }
        }
    }

    fn excluded(&mut self, operator: &str) -> Result<Matcher, Fault> {
        let at = self.place();
        if operator == "wildcard" {
            return self.wildcard();
        }
        let text = self.text(operator)?;
        if operator == "equals-ignore-case" {
            return Ok(Matcher::AnyCase(AnyCase::new(&text)));
        }
        if text.is_empty() {
            let cure = "every string has it, so nothing would match: write some characters";
            return Err(Fault::new(at, format!("the {operator} is empty"), cure));
        }
        Ok(if operator == "prefix" { Matcher::Prefix(text.into()) } else { Matcher::Suffix(text.into()) })
    }

    /// Takes the operand of the extension `number`.
    fn number(&mut self, at: usize) -> Result<Matcher, Fault> {
        if !self.extensions.typed_numbers {
            let cure = "switch on `typed_numbers` for it (Lambda does not know it), or compare texts: `[\"19.99\"]`";
            return Err(Fault::new(at, "`number` is an extension that is switched off", cure));
        }
        if !self.path.last().is_some_and(|step| ["N", "NS"].iter().any(|tag| step.rsplit('.').next() == Some(tag))) {
            let cure = "write it there: `{\"total\": {\"N\": [{\"number\": [\">\", \"10\"]}]}}`";
            return Err(Fault::new(at, "`number` compares DynamoDB numbers, which stand below `N` or `NS`", cure));
        }
        let less = |one: &String, other: &String| {
            let order = Decimal::parse(one).zip(Decimal::parse(other)).map(|(one, other)| one.compare(&other));
            order.is_some_and(|order| order.is_lt())
        };
        Ok(Matcher::Decimal(self.range(Self::decimal, less)?))
    }

    /// Takes a number that the engine can compare.
    fn double(&mut self) -> Result<f64, Fault> {
        if !matches!(self.cursor.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.fault("a number is expected", "write it without quotes"));
        }
        let at = self.place();
        let cure = "write fewer digits: numbers are compared as doubles";
        double(self.cursor.number()?).ok_or_else(|| Fault::new(at, "the number can't be compared exactly", cure))
    }

    /// Takes a number of any size, as a string or as a number.
    fn decimal(&mut self) -> Result<String, Fault> {
        let at = self.place();
        let text = match self.cursor.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.cursor.number()?.to_owned(),
            _ => String::new(),
        };
        match Decimal::parse(&text) {
            Some(_) => Ok(text),
            None => Err(Fault::new(at, "a decimal number is expected", "write it as DynamoDB does: `\"19.99\"`")),
        }
    }

    /// Takes `["<", 5]` or `[">=", 5, "<", 10]`.
    fn range<N: Clone>(
        &mut self,
        number: impl Fn(&mut Self) -> Result<N, Fault>,
        less: impl Fn(&N, &N) -> bool,
    ) -> Result<Range<N>, Fault> {
        let start = self.place();
        if self.cursor.peek() != Some(b'[') {
            return Err(self.fault("comparisons stand in an array", RANGE_FORM));
        }
        let mut elements = Elements::open(&mut self.cursor)?;
        let mut sides: Vec<(usize, String, N)> = Vec::new();
        while elements.next(&mut self.cursor)? {
            let at = self.place();
            let comparison = if self.cursor.peek() == Some(b'"') { self.string()? } else { String::new() };
            if sides.len() == 2 || !["=", "<", "<=", ">", ">="].contains(&comparison.as_str()) {
                return Err(Fault::new(at, "one of `=`, `<`, `<=`, `>`, `>=` is expected, at most twice", RANGE_FORM));
            }
            if !elements.next(&mut self.cursor)? {
                return Err(Fault::new(at, "the comparison has no number", RANGE_FORM));
            }
            sides.push((at, comparison, number(self)?));
        }
        let bound = |comparison: &str, at: &N| Some(Bound { at: at.clone(), included: comparison.ends_with('=') });
        match sides.as_slice() {
            [] => Err(Fault::new(start, "the array is empty", RANGE_FORM)),
            [(_, comparison, at)] => Ok(match comparison.as_str() {
                "<" | "<=" => Range { from: None, to: bound(comparison, at) },
                ">" | ">=" => Range { from: bound(comparison, at), to: None },
                _ => Range { from: bound("=", at), to: bound("=", at) },
            }),
            [(_, from, low), (at, to, high), ..] => {
                if !from.starts_with('>') || !to.starts_with('<') {
                    return Err(Fault::new(*at, "a range goes from `>` or `>=` to `<` or `<=`", RANGE_FORM));
                }
                if !less(low, high) {
                    let cure = "write the smaller number first; for a single one use `=`";
                    return Err(Fault::new(*at, "there is nothing in the range", cure));
                }
                Ok(Range { from: bound(from, low), to: bound(to, high) })
            }
        }
    }
}

fn closed(value: f64) -> Option<Bound<f64>> {
    Some(Bound { at: value, included: true })
}
