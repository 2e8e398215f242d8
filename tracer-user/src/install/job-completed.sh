#!/bin/sh
# GitHub's runner runs this after each job (ACTIONS_RUNNER_HOOK_JOB_COMPLETED), as configured by `gotrace install --runner-hooks`. It
# adds a summary of the builds to the page of the job. It takes less than five seconds, and never fails the job.
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    timeout --kill-after=0.5 4.4 /usr/bin/gotrace summary >>"$GITHUB_STEP_SUMMARY" || :
fi
exit 0
