//! Images of every size.
