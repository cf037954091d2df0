//! The ids that people and tools see: opaque text that says which kind of thing it names and on which server, so that one id is enough to
//! find it. Inside the program the parts travel as the numbers that they are.

use std::fmt;

use jiff::Timestamp;

use super::{
    execution::ExecutionId, position::ServerId, query::QueryId, recommendation::RecommendationId,
};

/// What an id names. Written as a letter and its numbers in hexadecimal, `q-5f0c…-91ab…`; stable for as long as the thing is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicId {
    Server(ServerId),
    Query(ServerId, QueryId),
    Execution(ServerId, Timestamp, ExecutionId),
    /// The captured plan of that ordinal.
    Plan(ServerId, Timestamp, ExecutionId, u32),
    Recommendation(ServerId, RecommendationId),
}

impl PublicId {
    /// `None` for anything that [`fmt::Display`] wouldn't have written.
    pub fn parse(text: &str) -> Option<Self> {
        let (letter, rest) = text.split_once('-')?;
        let numbers: Vec<i64> = rest
            .split('-')
            .map(|part| {
                let digits = part.len() == 16
                    && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                digits
                    .then(|| u64::from_str_radix(part, 16).ok())
                    .flatten()
                    .map(u64::cast_signed)
            })
            .collect::<Option<_>>()?;
        match (letter, numbers.as_slice()) {
            ("s", &[server]) => Some(Self::Server(ServerId(server))),
            ("q", &[server, id]) => Some(Self::Query(ServerId(server), QueryId(id))),
            ("e", &[server, at, id]) => Some(Self::Execution(
                ServerId(server),
                Timestamp::from_microsecond(at).ok()?,
                ExecutionId(id),
            )),
            ("p", &[server, at, id, ordinal]) => Some(Self::Plan(
                ServerId(server),
                Timestamp::from_microsecond(at).ok()?,
                ExecutionId(id),
                u32::try_from(ordinal).ok()?,
            )),
            ("r", &[server, id]) => {
                Some(Self::Recommendation(ServerId(server), RecommendationId(id)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = |letter: char, numbers: &[i64]| {
            write!(f, "{letter}")?;
            numbers
                .iter()
                .try_for_each(|number| write!(f, "-{number:016x}"))
        };
        match *self {
            Self::Server(server) => write('s', &[server.0]),
            Self::Query(server, id) => write('q', &[server.0, id.0]),
            Self::Execution(server, at, id) => write('e', &[server.0, at.as_microsecond(), id.0]),
            Self::Plan(server, at, id, ordinal) => write(
                'p',
                &[server.0, at.as_microsecond(), id.0, i64::from(ordinal)],
            ),
            Self::Recommendation(server, id) => write('r', &[server.0, id.0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_does() {
        let at = Timestamp::from_microsecond(-5).expect("in range");
        for id in [
            PublicId::Server(ServerId(-1)),
            PublicId::Query(ServerId(1), QueryId(i64::MIN)),
            PublicId::Execution(ServerId(1), at, ExecutionId(2)),
            PublicId::Plan(ServerId(1), at, ExecutionId(2), 3),
            PublicId::Recommendation(ServerId(1), RecommendationId(2)),
        ] {
            assert_eq!(PublicId::parse(&id.to_string()), Some(id));
        }
        let query = PublicId::Query(ServerId(1), QueryId(2)).to_string();
        assert_eq!(query, "q-0000000000000001-0000000000000002");
        for text in [
            "",
            "q",
            "q-1-2",
            "Q-0000000000000001-0000000000000002",
            "q-0000000000000001-000000000000000G",
            "q-0000000000000001-+000000000000002",
            "q-0000000000000001",
            "s-0000000000000001-0000000000000002",
            "p-0000000000000001-7fffffffffffffff-0000000000000002-0000000000000003",
        ] {
            assert_eq!(PublicId::parse(text), None, "{text}");
        }
    }
}
