//! Sources of cluster objects: the Kubernetes API or a directory, as snapshots.
