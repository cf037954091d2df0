//! A JSON value as EXPLAIN writes it: keys in their order, texts borrowed from the log where they hold no escape.
//!
//! Plans of every format become this one value. It exists for speed: `serde_json::Value` hashes and allocates every key, and plans are
//! most of a log's bytes.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

type Text<'a> = Cow<'a, str>;

#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text<'a>),
    List(Vec<Self>),
    Object(Object<'a>),
}

/// The entries of an object as they come; a key may come twice.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Object<'a>(pub(super) Vec<(Text<'a>, Json<'a>)>);

impl<'a> Object<'a> {
    /// The last value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Json<'a>> {
        let mut newest_first = self.0.iter().rev();
        newest_first.find_map(|(name, value)| (name == key).then_some(value))
    }

    pub(super) fn push(&mut self, key: impl Into<Text<'a>>, value: Json<'a>) {
        self.0.push((key.into(), value));
    }
}

impl<'a> Json<'a> {
    pub(super) fn text(text: impl Into<Text<'a>>) -> Self {
        Self::Text(text.into())
    }

    /// A number or truth value as EXPLAIN prints it: `1.00`, `false`. What is neither is a text.
    pub(super) fn scalar(printed: &'a str) -> Self {
        match serde_json::from_str(printed) {
            Ok(scalar @ (Self::Number(_) | Self::Bool(_))) => scalar,
            _ => Self::text(printed),
        }
    }
}

impl Json<'_> {
    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    pub(super) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Text<'a>);

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// About as many keys as a node of EXPLAIN (ANALYZE, BUFFERS, VERBOSE) has.
const NODE_KEYS: usize = 48;

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = Vec::with_capacity(NODE_KEYS);
        while let Some((Key(key), value)) = entries.next_entry()? {
            object.push((key, value));
        }
        Ok(Json::Object(Object(object)))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
