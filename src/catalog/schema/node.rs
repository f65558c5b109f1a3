//! JSON with positions.
//!
//! A [`Node`] is a value that has not been read yet, and knows where it stands. serde_json does
//! the parsing; `RawValue` borrows from the document, so the distance between two pointers is
//! the position, whatever the depth.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Fault;

/// A JSON value and its place in the document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    document: &'a str,
    raw: &'a str,
}

/// One member of an object.
pub(super) struct Member<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) at: usize,
    pub(super) value: Node<'a>,
}

impl<'a> Node<'a> {
    /// The root value of a document.
    pub(super) fn root(document: &'a str) -> Result<Self, Fault> {
        let whole = Self {
            document,
            raw: document,
        };
        let raw: &RawValue = whole.read("a JSON document")?;
        Ok(Self {
            document,
            raw: raw.get(),
        })
    }

    /// Byte offset of the value in the document.
    pub(super) fn at(&self) -> usize {
        offset(self.document, self.raw)
    }

    /// A fault at this value.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        self.fault_at(self.at(), message)
    }

    /// A fault anywhere in the document of this value.
    pub(super) fn fault_at(&self, at: usize, message: impl Into<String>) -> Fault {
        let before = &self.document.as_bytes()[..at.min(self.document.len())];
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[line_start..])
            .chars()
            .count();
        Fault {
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
            column: column + 1,
            // One fault is one line, whatever stood in the document.
            message: message.into().replace(['\n', '\r'], " "),
        }
    }

    /// The members of an object, in order. A repeated key is refused.
    pub(super) fn object(&self) -> Result<Vec<Member<'a>>, Fault> {
        let Members(raw) = self.read("an object")?;
        let mut members: Vec<Member<'a>> = Vec::with_capacity(raw.len());
        for (Key(key), value) in raw {
            // A key with escapes is not borrowed: the value stands next to it.
            let at = match &key {
                Cow::Borrowed(text) => offset(self.document, text).saturating_sub(1),
                Cow::Owned(_) => offset(self.document, value.get()),
            };
            members.push(Member {
                key,
                at,
                value: Self {
                    document: self.document,
                    raw: value.get(),
                },
            });
        }
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|a, b| members[*a].key.cmp(&members[*b].key).then(a.cmp(b)));
        let twice = order
            .windows(2)
            .filter(|pair| members[pair[0]].key == members[pair[1]].key)
            .map(|pair| pair[1])
            .min();
        if let Some(twice) = twice {
            let member = &members[twice];
            return Err(self.fault_at(member.at, format!("duplicate key {:?}", member.key)));
        }
        Ok(members)
    }

    /// The elements of an array.
    pub(super) fn array(&self) -> Result<Vec<Self>, Fault> {
        let Elements(raw) = self.read("an array")?;
        Ok(raw
            .into_iter()
            .map(|value| Self {
                document: self.document,
                raw: value.get(),
            })
            .collect())
    }

    /// A string.
    pub(super) fn string(&self) -> Result<Cow<'a, str>, Fault> {
        let Key(text) = self.read("a string")?;
        Ok(text)
    }

    /// A string, read by `FromStr`.
    pub(super) fn parse<T>(&self) -> Result<T, Fault>
    where
        T: std::str::FromStr<Err = crate::error::Error>,
    {
        self.string()?
            .parse()
            .map_err(|error: T::Err| self.fault(error.message()))
    }

    /// A whole number that is not negative.
    pub(super) fn number(&self) -> Result<u64, Fault> {
        self.read("a whole number")
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Result<bool, Fault> {
        self.read("true or false")
    }

    /// Whether the value is an object.
    pub(super) fn is_object(&self) -> bool {
        self.raw.starts_with('{')
    }

    fn read<T: Deserialize<'a>>(&self, what: &str) -> Result<T, Fault> {
        serde_json::from_str(self.raw).map_err(|error| {
            if error.is_data() {
                return self.fault(format!("{what} is expected here"));
            }
            // serde_json counts lines and columns from the start of what it was given.
            let lines = error.line().saturating_sub(1);
            let line_start: usize = self
                .raw
                .split_inclusive('\n')
                .take(lines)
                .map(str::len)
                .sum();
            let at = self.at() + line_start + error.column().saturating_sub(1);
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text);
            self.fault_at(at, format!("malformed JSON: {message}"))
        })
    }
}

/// How far into `document` a part of it starts.
fn offset(document: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(document.as_ptr() as usize)
}

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

struct Members<'a>(Vec<(Key<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Array)
    }
}
