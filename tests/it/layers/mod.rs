//! Layers become a tree: every rule by layers that are made here, no image and no network.

pub(crate) mod kit;
mod model;
mod refusals;
mod rules;
mod ways;
