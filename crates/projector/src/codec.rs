//! Rows as bytes: one format byte, then bincode. The only place that names bincode.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes that one row may ask for while it is decoded: damaged lengths must not eat the memory.
const ROW_BYTES_MAX: usize = 16 << 20;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<ROW_BYTES_MAX>()
}

/// A row that is not what this build writes.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be written.
    #[error("encode a row")]
    Encode(#[source] bincode::error::EncodeError),
    /// The bytes are not those of such a row.
    #[error("decode a row")]
    Decode(#[source] bincode::error::DecodeError),
    /// The first byte names another format.
    #[error("decode a row: format {found:?} where {wanted} was expected")]
    Format {
        /// The format of this build.
        wanted: u8,
        /// The byte found; none in an empty value.
        found: Option<u8>,
    },
    /// There is more than one row in the bytes.
    #[error("decode a row: {0} bytes too many")]
    TooLong(usize),
}

/// The stored form of a row.
pub(crate) fn encode<T: Serialize>(format: u8, row: &T) -> Result<Vec<u8>, CodecError> {
    // A row's size in memory is about its size in the store.
    let mut bytes = Vec::with_capacity(1 + size_of::<T>());
    bytes.push(format);
    bincode::serde::encode_into_std_write(row, &mut bytes, config()).map_err(CodecError::Encode)?;
    Ok(bytes)
}

/// The row in these bytes; every byte has to belong to it.
pub(crate) fn decode<T: DeserializeOwned>(format: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let body = match bytes.split_first() {
        Some((found, body)) if *found == format => body,
        found => return Err(CodecError::Format { wanted: format, found: found.map(|(byte, _)| *byte) }),
    };
    let (row, read) = bincode::serde::decode_from_slice(body, config()).map_err(CodecError::Decode)?;
    match body.len() - read {
        0 => Ok(row),
        rest => Err(CodecError::TooLong(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_another_format_a_cut_row_and_a_long_one() {
        let bytes = encode(3, &(7_u64, "报修")).unwrap();
        assert_eq!(decode::<(u64, String)>(3, &bytes).unwrap(), (7, "报修".to_owned()));
        assert!(matches!(decode::<(u64, String)>(4, &bytes), Err(CodecError::Format { found: Some(3), .. })));
        assert!(matches!(decode::<(u64, String)>(3, &[]), Err(CodecError::Format { found: None, .. })));
        assert!(matches!(decode::<(u64, String)>(3, &bytes[..4]), Err(CodecError::Decode(_))));
        let longer = [bytes, vec![0]].concat();
        assert!(matches!(decode::<(u64, String)>(3, &longer), Err(CodecError::TooLong(1))));
    }
}
