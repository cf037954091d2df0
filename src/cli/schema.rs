//! `plantail schema`: the GraphQL schema.

use clap::Args;

use super::{Error, output};
use crate::api;

/// Print the GraphQL schema (SDL)
#[derive(Debug, Args)]
pub(super) struct Schema {}

pub(super) fn run() -> Result<(), Error> {
    Ok(output::line(&api::sdl())?)
}
