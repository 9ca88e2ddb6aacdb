//! The real devnet, end to end: against real Docker engines over TLS, in real shells.
//!
//! `make test` runs this inside the testbed (`tests/testbed/run.sh`), which gives it private
//! engines and a minikube-shaped home. Without the testbed a test that needs it says so and is
//! skipped on a person's computer, and fails in CI.

#![expect(clippy::unwrap_used, reason = "a test that can not go on says so")]

mod any_runtime;
mod build;
mod build_engines;
mod build_faults;
mod build_inputs;
mod build_layouts;
mod build_outputs;
mod build_same;
mod build_watch;
mod check;
mod clean;
mod completions;
mod completions_names;
mod config;
mod containerd;
mod containerd_build;
mod containerd_build_bases;
mod containerd_build_faults;
mod containerd_container;
mod containerd_cost;
mod containerd_exec;
mod containerd_hostile;
mod containerd_load;
mod containerd_load_faults;
mod containerd_load_kills;
mod containerd_logs;
mod containerd_pods;
mod containerd_testbed;
mod containerd_trouble;
mod context;
mod doctor;
mod doctor_shell;
mod engine;
mod engine_clients;
mod env;
mod env_faults;
mod env_forms;
mod exec;
mod files;
mod forwarded;
mod frozen;
mod graph;
mod habits;
mod habits_engine;
mod history;
mod hook;
mod hostile;
mod hostile_files;
mod house;
mod images;
mod kill;
mod kubelet_word;
mod lab;
mod lab_manifests;
mod load;
mod load_faults;
mod load_kills;
mod load_pairs;
mod load_sources;
mod load_sources_bad;
mod logs;
mod logs_broken;
mod logs_follow;
mod new;
mod peers_killed;
mod podman;
mod pods;
mod pods_bad_input;
mod pods_findings;
mod pods_killed;
mod pods_live;
mod pods_restarts;
mod pods_watch;
mod restart;
mod shell;
mod shell_power;
mod status;
mod support;
mod transport;
mod watch;
