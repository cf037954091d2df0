//! Lists in pieces: Relay connections with keyset cursors, and nested lists with a limit.
//!
//! A cursor is the sort key of a row, so that the next page starts behind that row whatever has come in meanwhile. Rows whose sort value changes
//! (a query's total time) can move between pages.

use std::collections::HashMap;

use juniper::{FieldResult, GraphQLObject, graphql_object};

use super::{
    analysis::AnalysisNode,
    error::{Code, field_error, not_loaded},
    execution::ExecutionNode,
    loaded::Loaded,
    query::QueryNode,
    recommendation::RecommendationNode,
};
use crate::store::QueryKey;

/// Most rows of one page of a connection, or of one nested list.
const MOST_ROWS: u32 = 1000;
/// Rows of a page or a list at the root, where the document doesn't say.
pub(super) const ROWS: i32 = 20;
/// Rows of a nested list, where the document doesn't say.
pub(super) const NESTED_ROWS: i32 = 10;

/// `first` or `limit` between 1 and `most`; null is as good as none given.
pub(super) fn rows(
    argument: &str,
    value: Option<i32>,
    default: i32,
    most: u32,
) -> FieldResult<u32> {
    let value = value.unwrap_or(default);
    u32::try_from(value)
        .ok()
        .filter(|rows| (1..=most).contains(rows))
        .ok_or_else(|| {
            let message = format!("`{argument}` has to be between 1 and {most}, not {value}");
            field_error(Code::BadUserInput, message)
        })
}

/// `first` of a connection.
pub(super) fn first(value: Option<i32>) -> FieldResult<u32> {
    rows("first", value, ROWS, MOST_ROWS)
}

/// Where a page starts: behind the row with this key, in the list that `list` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// One letter for each list and order: a cursor is good for the list that gave it only.
    pub list: char,
    pub key: [i64; 3],
}

impl Cursor {
    pub(super) fn encode(self) -> String {
        let [a, b, c] = self.key;
        format!("{}{a:016x}{b:016x}{c:016x}", self.list)
    }

    /// Reads the argument `after`.
    pub(super) fn decode(list: char, after: Option<String>) -> FieldResult<Option<Self>> {
        let Some(text) = after else { return Ok(None) };
        let key = text.strip_prefix(list).filter(|digits| {
            digits.len() == 48
                && digits
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        let number = |from: usize| {
            let digits = key?.get(from..from + 16)?;
            u64::from_str_radix(digits, 16).ok().map(u64::cast_signed)
        };
        match (number(0), number(16), number(32)) {
            (Some(a), Some(b), Some(c)) => Ok(Some(Self {
                list,
                key: [a, b, c],
            })),
            _ => Err(field_error(
                Code::BadCursor,
                "`after` is not a cursor of this list in this order",
            )),
        }
    }
}

/// A nested list as far as it was loaded.
pub(super) struct Nested<T> {
    /// How many were asked of the store.
    pub limit: u32,
    pub items: Vec<T>,
}

impl<T> Nested<T> {
    /// The first `limit` of the list: several occurrences of a field share what the largest of them loaded.
    pub(super) fn first<'a>(
        nested: Option<&'a Self>,
        limit: Option<i32>,
        what: &str,
    ) -> FieldResult<&'a [T]> {
        let limit = rows("limit", limit, NESTED_ROWS, MOST_ROWS)?;
        let nested = nested
            .filter(|nested| limit <= nested.limit)
            .ok_or_else(|| not_loaded(what))?;
        let end = nested
            .items
            .len()
            .min(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(&nested.items[..end])
    }

    /// How many rows to ask the store for: what a resolver would refuse isn't loaded.
    pub(super) fn limit(wanted: Option<u32>) -> u32 {
        wanted.unwrap_or(0).clamp(1, MOST_ROWS)
    }
}

/// One page of a connection.
pub(super) struct Page<T> {
    pub edges: Vec<Edge<T>>,
    pub has_next: bool,
    pub has_previous: bool,
}

pub(super) struct Edge<T> {
    pub cursor: Cursor,
    pub node: T,
}

/// The nested lists of several queries.
pub(super) struct Lists<T> {
    limit: u32,
    by_query: HashMap<QueryKey, Vec<T>>,
}

impl<T> Lists<T> {
    pub(super) fn new(limit: u32, nodes: Vec<T>, query_of: impl Fn(&T) -> QueryKey) -> Self {
        let mut by_query: HashMap<QueryKey, Vec<T>> = HashMap::new();
        for node in nodes {
            by_query.entry(query_of(&node)).or_default().push(node);
        }
        Self { limit, by_query }
    }

    pub(super) fn take(&mut self, key: QueryKey) -> Nested<T> {
        Nested {
            limit: self.limit,
            items: self.by_query.remove(&key).unwrap_or_default(),
        }
    }
}

/// The rows of a page without the one that was asked for beyond it.
pub(super) struct Cut<T> {
    pub rows: Vec<T>,
    pub has_next: bool,
}

impl<T> Cut<T> {
    pub(super) fn new(mut rows: Vec<T>, wanted: u32) -> Self {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let has_next = rows.len() > wanted;
        rows.truncate(wanted);
        Self { rows, has_next }
    }
}

/// The page that a list answers with.
pub(super) fn page<T>(
    cursors: Vec<Cursor>,
    nodes: Vec<T>,
    has_next: bool,
    after: Option<Cursor>,
) -> Page<T> {
    Page {
        edges: cursors
            .into_iter()
            .zip(nodes)
            .map(|(cursor, node)| Edge { cursor, node })
            .collect(),
        has_next,
        has_previous: after.is_some(),
    }
}

/// Where a page stands in its list.
#[derive(GraphQLObject)]
#[graphql(context = Loaded)]
pub(super) struct PageInfo {
    /// Whether there are rows behind this page.
    has_next_page: bool,
    /// Whether the page was asked for with `after`.
    has_previous_page: bool,
    start_cursor: Option<String>,
    end_cursor: Option<String>,
}

macro_rules! connection {
    ($node:ty, $connection:literal, $edge:literal) => {
        #[graphql_object(name = $connection, context = Loaded)]
        impl Page<$node> {
            fn edges(&self) -> &[Edge<$node>] {
                &self.edges
            }

            /// The nodes without their cursors.
            fn nodes(&self) -> Vec<&$node> {
                self.edges.iter().map(|edge| &edge.node).collect()
            }

            fn page_info(&self) -> PageInfo {
                PageInfo {
                    has_next_page: self.has_next,
                    has_previous_page: self.has_previous,
                    start_cursor: self.edges.first().map(|edge| edge.cursor.encode()),
                    end_cursor: self.edges.last().map(|edge| edge.cursor.encode()),
                }
            }
        }

        #[graphql_object(name = $edge, context = Loaded)]
        impl Edge<$node> {
            /// Give this as `after` to get the rows behind this one.
            fn cursor(&self) -> String {
                self.cursor.encode()
            }

            fn node(&self) -> &$node {
                &self.node
            }
        }
    };
}

connection!(QueryNode, "LoggedQueryConnection", "LoggedQueryEdge");
connection!(ExecutionNode, "ExecutionConnection", "ExecutionEdge");
connection!(AnalysisNode, "AnalysisConnection", "AnalysisEdge");
connection!(
    RecommendationNode,
    "RecommendationConnection",
    "RecommendationEdge"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_in_its_own_list_only() {
        let cursor = Cursor {
            list: 'e',
            key: [i64::MIN, -1, 7],
        };
        let text = cursor.encode();
        assert_eq!(
            Cursor::decode('e', Some(text.clone())).ok(),
            Some(Some(cursor))
        );
        assert_eq!(Cursor::decode('e', None).ok(), Some(None));
        for (list, text) in [
            ('q', text.as_str()),
            ('e', ""),
            ('e', "e"),
            ('e', &text[..48]),
            ('e', "e00000000000000000000000000000000000000000000000ä"),
            ('e', "e+00000000000000000000000000000000000000000000000"),
        ] {
            assert!(
                Cursor::decode(list, Some(text.to_owned())).is_err(),
                "{text}"
            );
        }
    }
}
