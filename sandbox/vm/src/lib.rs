//! The VM sandbox: sizes, shares, guest image.
