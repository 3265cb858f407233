//! The RPCs, one file each: what a request may ask, and who does it. The services are tables of them.

mod container_attach;
mod container_create;
mod container_exec;
mod container_list;
mod container_log;
mod container_remove;
mod container_start;
mod container_stats;
mod container_status;
mod container_stop;
mod container_update;
mod events;
mod image_fs_info;
mod image_list;
mod image_pull;
mod image_remove;
mod image_service;
mod instrument;
mod pages;
mod port_forward;
mod runtime_config;
mod runtime_service;
mod runtime_status;
mod sandbox_list;
mod sandbox_remove;
mod sandbox_resources;
mod sandbox_run;
mod sandbox_stats;
mod sandbox_status;
mod sandbox_stop;
mod service;
mod unsupported;

pub use image_service::ImageServer;
pub use runtime_service::RuntimeServer;
