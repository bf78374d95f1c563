//! The judge has teeth: bugs that are planted are found, each within 200 seeds.
