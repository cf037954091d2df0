//! Percentiles, periods and users of queries, and the largest queries of a span.
//!
//! Keys of queries come in, what each of their fields was asked for goes out: one SQL statement for each span.

use std::{collections::HashMap, sync::Arc};

use super::super::{
    history::{BySpan, PercentilesNode, PeriodNode, QueryUserNode, TopQueryNode},
    pagination::Nested,
    planner::{Selected, Wanted},
};
use super::Loader;
use crate::store::{Error, QueryKey, QuerySums};

type ByQuery<T> = HashMap<QueryKey, T>;

impl Loader<'_, '_> {
    pub(super) fn percentiles_of(
        &mut self,
        keys: &[QueryKey],
        wanted: &Wanted,
    ) -> Result<ByQuery<BySpan<Option<PercentilesNode>>>, Error> {
        let mut all: ByQuery<BySpan<_>> = by_span(keys);
        for span in &wanted.spans {
            let found = self.reader.percentiles(keys, span.since, span.until)?;
            for (key, loaded) in &mut all {
                let told = found.get(key).copied().map(PercentilesNode);
                loaded.0.push((*span, told));
            }
        }
        Ok(all)
    }

    pub(super) fn history_of(
        &mut self,
        keys: &[QueryKey],
        wanted: &Wanted,
    ) -> Result<ByQuery<BySpan<Vec<PeriodNode>>>, Error> {
        let mut all: ByQuery<BySpan<_>> = by_span(keys);
        for span in &wanted.spans {
            let Some(bucket) = span.bucket else { continue };
            let mut found = self
                .reader
                .trend(keys, span.since, span.until, bucket.into())?;
            for (key, loaded) in &mut all {
                let periods = found.remove(key).unwrap_or_default().into_iter();
                loaded
                    .0
                    .push((*span, periods.map(PeriodNode::new).collect()));
            }
        }
        Ok(all)
    }

    pub(super) fn users_of(
        &mut self,
        keys: &[QueryKey],
        wanted: &Wanted,
    ) -> Result<ByQuery<Nested<QueryUserNode>>, Error> {
        let limit = Nested::<QueryUserNode>::limit(wanted.limit);
        let found = self.reader.users_of(keys, limit)?.into_iter();
        let nested = found.map(|(key, users)| {
            let items = users.into_iter().map(QueryUserNode).collect();
            (key, Nested { limit, items })
        });
        Ok(nested.collect())
    }

    pub(super) fn top_query_nodes(
        &mut self,
        rows: Vec<QuerySums>,
        selected: &Selected,
    ) -> Result<Vec<TopQueryNode>, Error> {
        let queries = self.queries_behind(rows.iter().map(|sums| sums.key), selected)?;
        let node = |sums: QuerySums| TopQueryNode {
            query: queries.get(&sums.key).map(Arc::clone),
            sums,
        };
        Ok(rows.into_iter().map(node).collect())
    }
}

fn by_span<T>(keys: &[QueryKey]) -> ByQuery<BySpan<T>> {
    keys.iter().map(|key| (*key, BySpan(Vec::new()))).collect()
}
