//! The streaming lists: the same lists, a page a message, so that no message grows beyond gRPC's limit.

use std::pin::Pin;

use futures::{Stream, stream};
use tonic::Status;

/// A stream of messages.
pub(super) type Pages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Items in one message: a status with many labels is a few KiB.
const PAGE: usize = 256;

/// Cuts a list into messages. An empty list is an empty stream.
pub(super) fn pages<I, T>(items: Vec<I>, page: impl Fn(Vec<I>) -> T) -> Pages<T>
where
    T: Send + 'static,
{
    let mut messages = Vec::new();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        messages.push(Ok(page(items.by_ref().take(PAGE).collect())));
    }
    Box::pin(stream::iter(messages))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_long_list_comes_in_pages_and_nothing_is_lost() {
        let got: Vec<_> = pages((0..600).collect(), |p: Vec<i32>| p).map(Result::unwrap).collect().await;
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88]);
        assert_eq!(got.concat(), (0..600).collect::<Vec<_>>());
    }
}
