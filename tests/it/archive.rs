//! Archives: every format decoded strictly, every dialect listed exactly, or a refusal.

mod corpus;
mod decoding;
mod differential;
mod images;
mod kit;
mod mutation;
mod refusals;
mod rules;
mod sparse;
