#!/bin/sh
# Run by GitHub's runner after each job (ACTIONS_RUNNER_HOOK_JOB_COMPLETED), as `gotrace install --runner-hooks` told it. Adds what was
# built to the page of the job. Whatever comes of that, it takes less than five seconds and the job does not fail by it.
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    timeout --kill-after=0.5 4.4 /usr/bin/gotrace summary >>"$GITHUB_STEP_SUMMARY" || :
fi
exit 0
