//! Many at once, over one cache.
