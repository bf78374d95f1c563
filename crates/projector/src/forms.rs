//! How times are written in a row: short numbers in the store, readable text in JSON.

/// An instant: RFC 3339 in JSON, microseconds since 1970 in the store.
pub(crate) mod instant {
    use cuiban_domain::Instant;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            at.serialize(serializer)
        } else {
            serializer.serialize_i64(at.timestamp_micros())
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        if deserializer.is_human_readable() {
            return Instant::deserialize(deserializer);
        }
        let at_us = i64::deserialize(deserializer)?;
        Instant::from_timestamp_micros(at_us).ok_or_else(|| D::Error::custom("an instant out of range"))
    }
}

/// As [`instant`], where there may be none.
pub(crate) mod instant_option {
    use cuiban_domain::Instant;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Written(#[serde(with = "super::instant")] Instant);

    pub(crate) fn serialize<S: Serializer>(at: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(Written).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Instant>, D::Error> {
        Ok(Option::<Written>::deserialize(deserializer)?.map(|Written(at)| at))
    }
}

/// A length of time: `1h 30m` in JSON, microseconds in the store.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&humantime::format_duration(*length))
        } else {
            serializer.serialize_u64(u64::try_from(length.as_micros()).unwrap_or(u64::MAX))
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return humantime::parse_duration(&text).map_err(D::Error::custom);
        }
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

/// A limit: as the domain writes it in JSON, microseconds and the measure in the store.
pub(crate) mod limit {
    use std::time::Duration;

    use cuiban_domain::sla::{Limit, Measure, Span};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(limit: &Limit, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return limit.serialize(serializer);
        }
        let span_us = u64::try_from(limit.span.duration().as_micros()).unwrap_or(u64::MAX);
        (span_us, limit.measure).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
        if deserializer.is_human_readable() {
            return Limit::deserialize(deserializer);
        }
        let (span_us, measure) = <(u64, Measure)>::deserialize(deserializer)?;
        // The first release let spans be shorter than a microsecond, and recorded them.
        let span = Duration::from_micros(span_us.max(1));
        Ok(Limit { span: Span::recorded(span).map_err(D::Error::custom)?, measure })
    }
}

/// Bytes as one block, not one by one.
pub(crate) mod block {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Block)
    }

    struct Block;

    impl<'de> Visitor<'de> for Block {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = seq.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use cuiban_domain::Instant;
    use cuiban_domain::sla::{Limit, Measure, Span};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Times {
        #[serde(with = "super::instant")]
        at: Instant,
        #[serde(with = "super::instant_option")]
        until: Option<Instant>,
        #[serde(with = "super::duration")]
        length: Duration,
    }

    #[test]
    fn times_are_text_in_json_and_come_back_equal_from_both_forms() {
        let at = DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap();
        let times = Times { at, until: Some(at), length: Duration::from_secs(5400) };
        let json = serde_json::to_value(&times).unwrap();
        assert_eq!(json["length"], "1h 30m");
        assert_eq!(json["at"], json["until"]);
        assert_eq!(serde_json::from_value::<Times>(json).unwrap(), times);
        let stored = crate::codec::encode(1, &times).unwrap();
        assert_eq!(crate::codec::decode::<Times>(1, &stored).unwrap(), times);
        assert!(stored.len() < 32);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Limited(#[serde(with = "super::limit")] Limit);

    #[test]
    fn a_limit_that_the_first_release_recorded_is_a_row_however_short_it_is() {
        let stored_again = |span: Duration| {
            let limit = Limit { span: Span::recorded(span).unwrap(), measure: Measure::Working };
            let stored = crate::codec::encode(1, &Limited(limit)).unwrap();
            crate::codec::decode::<Limited>(1, &stored).unwrap().0.span.duration()
        };
        assert_eq!(stored_again(Duration::from_nanos(1)), Duration::from_micros(1));
        assert_eq!(stored_again(Span::MAX), Span::MAX);
    }
}
