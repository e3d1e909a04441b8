/// A user's id: an integer, a text, or a `Uuid` (with the feature `uuid`). It is sent and kept as a
/// text.
pub trait UserId {
    /// As PostgreSQL writes it.
    fn to_text(&self) -> String;
}

macro_rules! ids {
    ($($type:ty),*) => {$(
        impl UserId for $type {
            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

ids!(i16, i32, i64, u16, u32, u64, str, String);

#[cfg(feature = "uuid")]
ids!(uuid::Uuid);

impl<T: UserId + ?Sized> UserId for &T {
    fn to_text(&self) -> String {
        (**self).to_text()
    }
}
