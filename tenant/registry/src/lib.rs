//! Tenants: which tenant a namespace belongs to, from the live snapshot.
