//! Tenants: the model and `admit`. Pure.
