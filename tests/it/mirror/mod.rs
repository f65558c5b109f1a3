//! `mirror`: a directory that outlives upstream, by hand-made upstreams and by other people's tools.

mod care;
mod circle;
mod containers;
mod ends;
mod hostile;
mod judges;
mod kit;
mod retain;
mod same;
