//! CRI v1 as of k8s.io/cri-api v0.37.2: messages, services and clients.
