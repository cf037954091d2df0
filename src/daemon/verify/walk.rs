//! The executions of one server in one store, in an order that every store has, a page at a time.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use crate::{
    model::{
        execution::ExecutionId,
        position::{GenerationId, ServerId},
    },
    store::{self, ExecutionMark, Store},
};

/// How many executions of each store are in memory.
const PAGE: u32 = 4096;

/// The executions of one server in one store, oldest first, a page at a time.
pub(super) struct Walk<'a> {
    store: &'a Store,
    server: ServerId,
    page: VecDeque<ExecutionMark>,
    after: Option<(Timestamp, ExecutionId)>,
    is_over: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(store: &'a Store, server: ServerId) -> Self {
        Self {
            store,
            server,
            page: VecDeque::new(),
            after: None,
            is_over: false,
        }
    }

    pub(super) fn peek(&mut self) -> Result<Option<ExecutionMark>, store::Error> {
        if self.page.is_empty() && !self.is_over {
            let page = self
                .store
                .read(|reader| reader.execution_marks(self.server, self.after, PAGE))?;
            self.after = page.last().map(|mark| (mark.started_at, mark.id));
            self.is_over = page.is_empty();
            self.page = page.into();
        }
        Ok(self.page.front().copied())
    }

    pub(super) fn skip(&mut self, one: bool) {
        if one {
            self.page.pop_front();
        }
    }
}

/// Where in each generation the first and the last execution of the server begin.
pub(super) fn extents(
    store: &Store,
    server: ServerId,
) -> Result<HashMap<GenerationId, (u64, u64)>, store::Error> {
    let mut extents: HashMap<GenerationId, (u64, u64)> = HashMap::new();
    let mut walk = Walk::new(store, server);
    while let Some(mark) = walk.peek()? {
        walk.skip(true);
        let offset = mark.position.offset_bytes;
        let (first, last) = extents
            .entry(mark.position.generation)
            .or_insert((offset, offset));
        *first = offset.min(*first);
        *last = offset.max(*last);
    }
    Ok(extents)
}
