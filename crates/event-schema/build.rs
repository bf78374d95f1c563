//! Builds the prost types from `proto/`, without protoc.

use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(
        ["commit.proto", "export.proto"].map(|file| root.join("cuiban/log/v1").join(file)),
        [&root],
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new().disable_comments(["."]).compile_fds(descriptors)?;
    Ok(())
}
