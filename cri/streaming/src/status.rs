//! What the error stream says in the end.

use serde_json::json;

use crate::{ExitStatus, StreamError};

/// Of v4: a `metav1.Status`, always.
pub(crate) fn v4(outcome: &Result<ExitStatus, StreamError>) -> Vec<u8> {
    let status = match outcome {
        Ok(ExitStatus { code: 0 }) => json!({"metadata": {}, "status": "Success"}),
        Ok(ExitStatus { code }) => json!({
            "metadata": {},
            "status": "Failure",
            "message": text(*code),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(error) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("Internal error occurred: error executing command in container: {error}"),
            "reason": "InternalError",
            "code": 500,
        }),
    };
    status.to_string().into_bytes()
}

/// Of the older protocols: a message, or nothing after success.
pub(crate) fn plain(outcome: &Result<ExitStatus, StreamError>) -> Vec<u8> {
    match outcome {
        Ok(ExitStatus { code: 0 }) => Vec::new(),
        Ok(ExitStatus { code }) => text(*code).into_bytes(),
        Err(error) => format!("error executing command in container: {error}").into_bytes(),
    }
}

fn text(code: i32) -> String {
    format!("command terminated with non-zero exit code: exit status {code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_the_exit_code() {
        let status: serde_json::Value = serde_json::from_slice(&v4(&Ok(ExitStatus { code: 42 }))).unwrap();
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "42"}));
        assert_eq!(plain(&Ok(ExitStatus { code: 42 })), b"command terminated with non-zero exit code: exit status 42");
    }

    #[test]
    fn success_and_failure_differ() {
        let status = |outcome| serde_json::from_slice::<serde_json::Value>(&v4(&outcome)).unwrap();
        assert_eq!(status(Ok(ExitStatus { code: 0 }))["status"], "Success");
        assert_eq!(plain(&Ok(ExitStatus { code: 0 })), b"");
        let failed = status(Err(StreamError::new("no such file")));
        assert_eq!((&failed["reason"], &failed["code"]), (&json!("InternalError"), &json!(500)));
        assert!(failed["message"].as_str().unwrap().ends_with(": no such file"));
    }
}
