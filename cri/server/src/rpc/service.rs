//! Writes a gRPC service out of a table of its RPCs.
//!
//! Every RPC is a function `async fn(&Runtime, Request) -> Result<Answer, Error>`; `unary` ones answer a message,
//! `streams` a stream of them. All go through `instrument::call`.

macro_rules! service {
    (
        $(#[$doc:meta])*
        $server:ident serves $service:path;
        unary { $( $rpc:literal $method:ident($request:ident) -> $answer:ident = $file:ident::$run:ident; )* }
        streams { $(
            $s_rpc:literal $s_method:ident($s_request:ident)
                -> $stream:ident of $item:ident = $s_file:ident::$s_run:ident;
        )* }
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $server(pub std::sync::Arc<crate::runtime::Runtime>);

        #[tonic::async_trait]
        impl $service for $server {
            $(
                async fn $method(
                    &self,
                    request: tonic::Request<cofferdam_cri_api::v1::$request>,
                ) -> Result<tonic::Response<cofferdam_cri_api::v1::$answer>, tonic::Status> {
                    super::instrument::call($rpc, super::$file::$run(&self.0, request.into_inner())).await
                }
            )*
            $(
                type $stream = super::pages::Pages<cofferdam_cri_api::v1::$item>;

                async fn $s_method(
                    &self,
                    request: tonic::Request<cofferdam_cri_api::v1::$s_request>,
                ) -> Result<tonic::Response<Self::$stream>, tonic::Status> {
                    super::instrument::call($s_rpc, super::$s_file::$s_run(&self.0, request.into_inner())).await
                }
            )*
        }
    };
}

pub(super) use service;
