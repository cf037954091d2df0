//! What a log message says about a statement, and that statement without its literals.
//!
//! In come the message, the DETAIL and the SQL of one log record as text; out come durations, statement names, parameters, tokens,
//! normalized statements and redacted expressions. Nothing here fails on any input, reads anything else, or knows about sessions,
//! plans or stores. What leaves through [`normalize::normalize`] and [`redact::expression`] holds no literal, parameter value or
//! comment.

mod catalog;
pub mod context;
pub mod credential;
pub mod failure;
mod frame_catalog;
pub mod incident;
mod incident_catalog;
mod keyword;
pub mod lexer;
mod list;
mod lock_catalog;
pub mod message;
pub mod normalize;
mod output;
pub mod parameters;
pub mod redact;
pub mod tags;
mod template;
mod type_modifier;
mod utility;
mod writer;
