//! Images of file systems, and what others make of them.

mod erofs;
mod grove;
mod judge;
