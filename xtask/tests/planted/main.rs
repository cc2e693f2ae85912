//! Both tasks on planted workspaces, as somebody at a shell would run them.

mod matrix;
mod scratch;
mod tidy;
