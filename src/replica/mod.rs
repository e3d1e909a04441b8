//! What a server that follows another can know.

pub mod freshness;
pub mod timeline;
