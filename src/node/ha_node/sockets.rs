//! The receive sockets that routers share.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kernel::{ReceiveSocket, RouterId};
use crate::vrrp::{Listening, SocketRequest};

/// Which sockets there are, and which router listens on which.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Sockets {
    sockets: BTreeMap<ReceiveSocket, Socket>,
    of_routers: BTreeMap<RouterId, ReceiveSocket>,
    /// Sockets that routers came to or left since [`Sockets::take_requests`].
    touched: BTreeSet<ReceiveSocket>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Socket {
    listening: Listening,
    routers: usize,
    /// The driver was asked to open it.
    asked: bool,
}

impl Sockets {
    /// A router listens on this socket now, or on none. Gives the socket that it listened on before.
    pub(super) fn assign(&mut self, id: RouterId, socket: Option<ReceiveSocket>) -> Option<ReceiveSocket> {
        let before = self.of_routers.get(&id).copied();
        if before == socket {
            return before;
        }
        if let Some(before) = before {
            self.of_routers.remove(&id);
            self.touched.insert(before);
            if let Some(left) = self.sockets.get_mut(&before) {
                debug_assert!(left.routers > 0, "{before:?} was left more often than it was needed");
                left.routers = left.routers.saturating_sub(1);
            }
        }
        if let Some(socket) = socket {
            self.of_routers.insert(id, socket);
            self.touched.insert(socket);
            self.sockets.entry(socket).or_default().routers += 1;
        }
        before
    }

    /// The routers that listen on a socket.
    pub(super) fn routers(&self, socket: ReceiveSocket) -> impl Iterator<Item = RouterId> {
        self.of_routers.iter().filter(move |(_, on)| **on == socket).map(|(id, _)| *id)
    }

    /// State of a socket; pending if it is not known.
    pub(super) fn listening(&self, socket: Option<ReceiveSocket>) -> Listening {
        socket.and_then(|socket| self.sockets.get(&socket)).map(|socket| socket.listening).unwrap_or_default()
    }

    /// The driver opened a socket or failed. Gives the state before, if the socket is still wanted.
    pub(super) fn set_listening(&mut self, socket: ReceiveSocket, state: Listening) -> Option<Listening> {
        let socket = self.sockets.get_mut(&socket)?;
        Some(core::mem::replace(&mut socket.listening, state))
    }

    /// Sockets that the kernel refused.
    pub(super) fn failed(&self) -> impl Iterator<Item = ReceiveSocket> {
        let failed = |(socket, state): (&ReceiveSocket, &Socket)| {
            (state.listening == Listening::Failed).then_some(*socket)
        };
        self.sockets.iter().filter_map(failed)
    }

    /// Closes what nobody needs any more, then opens what is needed: once all routers have moved, so that no socket
    /// is closed that another one takes over.
    pub(super) fn take_requests(&mut self, requests: &mut Vec<SocketRequest>) {
        let touched = core::mem::take(&mut self.touched);
        for socket in &touched {
            if self.sockets.get(socket).is_some_and(|state| state.routers == 0)
                && self.sockets.remove(socket).is_some_and(|state| state.asked)
            {
                requests.push(SocketRequest::Close(*socket));
            }
        }
        for socket in touched {
            if let Some(state) = self.sockets.get_mut(&socket)
                && !core::mem::replace(&mut state.asked, true)
            {
                requests.push(SocketRequest::Open(socket));
            }
        }
    }
}
