//! What the extension's own tables and PostgreSQL's catalogs say.

pub mod columns;
pub mod epochs;
pub mod extension;
pub mod guard;
pub mod hints;
pub mod location;
pub mod partitions;
pub mod policy;
pub mod privileges;
pub mod related;
pub mod status_column;
pub mod store;
pub mod store_failure;
pub mod timeline;
pub mod triggers;
pub mod unique_index;
pub mod unwatched;
