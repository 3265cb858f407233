//! What a connection holds of a stream: where its data, its credit and its end go.

use std::sync::{Arc, Mutex};
use std::task::Waker;

use cofferdam_pod_api::{STDOUT, Send, StreamData};
use cofferdam_sandbox::PodError;
use tokio::sync::{mpsc, oneshot};

use crate::lock::lock;

/// What a connection holds of a stream.
pub(crate) struct Incoming {
    outputs: [Option<mpsc::UnboundedSender<Vec<u8>>>; 2],
    input: Arc<Mutex<Input>>,
    exit: oneshot::Sender<Result<i32, PodError>>,
}

/// Standard input of a stream.
#[derive(Default)]
pub(crate) struct Input {
    pub(crate) credit: Send,
    /// The stream is over.
    pub(crate) over: bool,
    /// Who waits for credit.
    pub(crate) waker: Option<Waker>,
}

impl Incoming {
    /// A stream with the outputs that are wanted.
    pub(crate) fn new(
        outputs: [Option<mpsc::UnboundedSender<Vec<u8>>>; 2],
        input: Arc<Mutex<Input>>,
        exit: oneshot::Sender<Result<i32, PodError>>,
    ) -> Self {
        Incoming { outputs, input, exit }
    }

    /// Data came. `false`: nobody reads it.
    pub(crate) fn data(&mut self, data: StreamData) -> bool {
        let index = data.channel.wrapping_sub(STDOUT) as usize;
        let Some(output) = self.outputs.get_mut(index) else { return false };
        let taken = match output {
            Some(sender) if !data.data.is_empty() => sender.send(data.data).is_ok(),
            Some(_) => true,
            None => false,
        };
        if data.eof || !taken {
            *output = None;
        }
        taken
    }

    /// More input may be sent.
    pub(crate) fn credit(&mut self, bytes: u32) -> Result<(), PodError> {
        let mut input = lock(&self.input);
        if !input.credit.granted(bytes) {
            return Err(PodError::Protocol("credit that was never taken".into()));
        }
        input.waker.take().into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// The stream is over.
    pub(crate) fn end(self, result: Result<i32, PodError>) {
        {
            let mut input = lock(&self.input);
            input.over = true;
            input.waker.take().into_iter().for_each(Waker::wake);
        }
        drop(self.outputs);
        let _ = self.exit.send(result);
    }
}
