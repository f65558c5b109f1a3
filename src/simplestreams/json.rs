//! Objects of JSON as plain structs, without a derive macro.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// A struct that takes the members of an object one by one.
pub(super) trait Fields<'de>: Default {
    /// Takes the value of `key`, or skips it.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// An object that is read into its [`Fields`].
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<T>(PhantomData<T>);
        impl<'de, T: Fields<'de>> Visitor<'de> for Of<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut value = T::default();
                while let Some(Text(key)) = map.next_key()? {
                    value.field(&key, &mut map)?;
                }
                Ok(Object(value))
            }
        }
        deserializer.deserialize_map(Of(PhantomData))
    }
}

/// A string, borrowed where it has no escapes.
pub(super) struct Text<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

/// Reads an object as a list of `key, value`, for as many keys as `wanted` says; a key that is
/// wanted and stands twice is refused.
pub(super) struct Members<'f, S, F> {
    what: &'static str,
    wanted: &'f dyn Fn(&str) -> bool,
    read: F,
    value: PhantomData<S>,
}

impl<'f, S, F> Members<'f, S, F> {
    /// `read` makes one of a key and its value.
    pub(super) fn new(what: &'static str, wanted: &'f dyn Fn(&str) -> bool, read: F) -> Self {
        let value = PhantomData;
        Self {
            what,
            wanted,
            read,
            value,
        }
    }
}

impl<'de, V, S, F> DeserializeSeed<'de> for Members<'_, S, F>
where
    F: Fn(Cow<'de, str>, S) -> V,
    S: Deserialize<'de>,
    V: Named,
{
    type Value = Vec<V>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<V>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, V, S, F> Visitor<'de> for Members<'_, S, F>
where
    F: Fn(Cow<'de, str>, S) -> V,
    S: Deserialize<'de>,
    V: Named,
{
    type Value = Vec<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a {} under each key", self.what)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<V>, A::Error> {
        let mut list: Vec<V> = Vec::new();
        while let Some(Text(key)) = map.next_key()? {
            if (self.wanted)(&key) {
                let value = map.next_value()?;
                list.push((self.read)(key, value));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        list.sort_by(|a, b| a.name().cmp(b.name()));
        let twice = list
            .windows(2)
            .find(|pair| pair[0].name() == pair[1].name());
        match twice {
            None => Ok(list),
            Some(pair) => Err(A::Error::custom(format!(
                "the {} {:?} stands twice",
                self.what,
                pair[0].name()
            ))),
        }
    }
}

/// A thing with the key under which it stood.
pub(super) trait Named {
    fn name(&self) -> &str;
}

/// A list of strings.
pub(super) struct Texts<'de>(pub(super) Vec<Cow<'de, str>>);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Text(text)) = seq.next_element()? {
                    list.push(text);
                }
                Ok(Texts(list))
            }
        }
        deserializer.deserialize_seq(Of)
    }
}
