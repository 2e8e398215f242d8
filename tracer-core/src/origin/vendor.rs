//! The variables of each continuous integration system, as data. `ci` evaluates this table.
//!
//! The table contains only identifiers. No variable in it holds a token, a message or a person.

use ValueSource::{Address, Branch, Hash, Join, Last, Number, Pushed, Ref, Remote, Var};

/// The source of a fact. Of several sources the first that is present counts.
pub(super) enum ValueSource {
    /// The unchanged value.
    Var(&'static str),
    /// The value, but only without a change: for a change it is the target branch.
    Pushed(&'static str),
    /// A branch, possibly as `refs/heads/...`; nothing for other references.
    Branch(&'static str),
    /// A branch, possibly as `origin/...`.
    Remote(&'static str),
    /// A number; systems also write `false` here.
    Number(&'static str),
    /// The number in `refs/pull/12/merge`.
    Ref(&'static str),
    /// The number at the end of an address.
    Last(&'static str),
    /// A commit's hash.
    Hash(&'static str),
    /// A name of several parts; absent if one is missing.
    Join(&'static [Piece]),
    /// The address of a page, from several parts; absent if one is missing. The value of a variable is always escaped as part of the path.
    Address(&'static [Piece]),
}

/// A part of a joined text.
pub(super) enum Piece {
    Text(&'static str),
    Var(&'static str),
    /// An address, without the slash at its end.
    Base(&'static str),
}

pub(super) struct Vendor {
    pub(super) system: &'static str,
    /// The variable that identifies the system, and its value if that matters.
    pub(super) mark: (&'static str, Option<&'static str>),
    pub(super) repository: &'static [ValueSource],
    pub(super) branch: &'static [ValueSource],
    pub(super) base_branch: &'static [ValueSource],
    pub(super) change: &'static [ValueSource],
    pub(super) revision: &'static [ValueSource],
    pub(super) pipeline: &'static [ValueSource],
    pub(super) job: &'static [ValueSource],
    pub(super) run: &'static [ValueSource],
    pub(super) attempt: &'static [ValueSource],
    pub(super) url: &'static [ValueSource],
    pub(super) runner: &'static [ValueSource],
}

const NONE: Vendor = Vendor {
    system: "",
    mark: ("", None),
    repository: &[],
    branch: &[],
    base_branch: &[],
    change: &[],
    revision: &[],
    pipeline: &[],
    job: &[],
    run: &[],
    attempt: &[],
    url: &[],
    runner: &[],
};

const GITHUB: Vendor = Vendor {
    system: "github",
    mark: ("GITHUB_ACTIONS", Some("true")),
    repository: &[Var("GITHUB_REPOSITORY")],
    branch: &[Var("GITHUB_HEAD_REF"), Branch("GITHUB_REF")],
    base_branch: &[Var("GITHUB_BASE_REF")],
    change: &[Ref("GITHUB_REF")],
    revision: &[Hash("GITHUB_SHA")],
    pipeline: &[Var("GITHUB_WORKFLOW")],
    job: &[Var("GITHUB_JOB")],
    run: &[Var("GITHUB_RUN_ID")],
    attempt: &[Number("GITHUB_RUN_ATTEMPT")],
    url: &[Address(&[
        Piece::Base("GITHUB_SERVER_URL"),
        Piece::Text("/"),
        Piece::Var("GITHUB_REPOSITORY"),
        Piece::Text("/actions/runs/"),
        Piece::Var("GITHUB_RUN_ID"),
    ])],
    runner: &[Var("RUNNER_NAME")],
};

/// In order of evaluation: a system that also sets the variable of another comes before that one.
pub(super) const VENDORS: &[Vendor] = &[
    Vendor {
        system: "gitea",
        mark: ("GITEA_ACTIONS", Some("true")),
        // The address contains the number of the run within one repository.
        url: &[Address(&[
            Piece::Base("GITHUB_SERVER_URL"),
            Piece::Text("/"),
            Piece::Var("GITHUB_REPOSITORY"),
            Piece::Text("/actions/runs/"),
            Piece::Var("GITHUB_RUN_NUMBER"),
        ])],
        ..GITHUB
    },
    GITHUB,
    Vendor {
        system: "woodpecker",
        mark: ("CI", Some("woodpecker")),
        repository: &[Var("CI_REPO")],
        branch: &[Var("CI_COMMIT_SOURCE_BRANCH"), Pushed("CI_COMMIT_BRANCH")],
        base_branch: &[Var("CI_COMMIT_TARGET_BRANCH")],
        change: &[Number("CI_COMMIT_PULL_REQUEST")],
        revision: &[Hash("CI_COMMIT_SHA")],
        pipeline: &[Var("CI_WORKFLOW_NAME")],
        job: &[Var("CI_STEP_NAME")],
        run: &[Number("CI_PIPELINE_NUMBER")],
        url: &[Var("CI_PIPELINE_URL")],
        runner: &[Var("CI_MACHINE")],
        ..NONE
    },
    Vendor {
        system: "gitlab",
        mark: ("GITLAB_CI", Some("true")),
        repository: &[Var("CI_PROJECT_PATH")],
        branch: &[
            Var("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"),
            Var("CI_COMMIT_BRANCH"),
        ],
        base_branch: &[Var("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")],
        change: &[Number("CI_MERGE_REQUEST_IID")],
        revision: &[Hash("CI_COMMIT_SHA")],
        pipeline: &[Var("CI_PIPELINE_NAME")],
        job: &[Var("CI_JOB_NAME")],
        run: &[Number("CI_PIPELINE_ID")],
        url: &[Var("CI_JOB_URL"), Var("CI_PIPELINE_URL")],
        runner: &[Var("CI_RUNNER_DESCRIPTION")],
        ..NONE
    },
    Vendor {
        system: "buildkite",
        mark: ("BUILDKITE", Some("true")),
        repository: &[Var("BUILDKITE_REPO")],
        branch: &[Var("BUILDKITE_BRANCH")],
        base_branch: &[Var("BUILDKITE_PULL_REQUEST_BASE_BRANCH")],
        change: &[Number("BUILDKITE_PULL_REQUEST")],
        revision: &[Hash("BUILDKITE_COMMIT")],
        pipeline: &[Var("BUILDKITE_PIPELINE_SLUG")],
        job: &[Var("BUILDKITE_LABEL"), Var("BUILDKITE_JOB_ID")],
        run: &[Number("BUILDKITE_BUILD_NUMBER")],
        attempt: &[Number("BUILDKITE_RETRY_COUNT")],
        url: &[Var("BUILDKITE_BUILD_URL")],
        runner: &[Var("BUILDKITE_AGENT_NAME")],
    },
    Vendor {
        system: "circleci",
        mark: ("CIRCLECI", Some("true")),
        repository: &[
            Join(&[
                Piece::Var("CIRCLE_PROJECT_USERNAME"),
                Piece::Text("/"),
                Piece::Var("CIRCLE_PROJECT_REPONAME"),
            ]),
            Var("CIRCLE_REPOSITORY_URL"),
        ],
        branch: &[Var("CIRCLE_BRANCH")],
        change: &[Last("CIRCLE_PULL_REQUEST")],
        revision: &[Hash("CIRCLE_SHA1")],
        job: &[Var("CIRCLE_JOB")],
        run: &[Var("CIRCLE_WORKFLOW_ID"), Number("CIRCLE_BUILD_NUM")],
        url: &[Var("CIRCLE_BUILD_URL")],
        ..NONE
    },
    Vendor {
        system: "drone",
        mark: ("DRONE", Some("true")),
        repository: &[Var("DRONE_REPO")],
        branch: &[Var("DRONE_SOURCE_BRANCH"), Pushed("DRONE_BRANCH")],
        base_branch: &[Var("DRONE_TARGET_BRANCH")],
        change: &[Number("DRONE_PULL_REQUEST")],
        revision: &[Hash("DRONE_COMMIT_SHA")],
        pipeline: &[Var("DRONE_STAGE_NAME")],
        job: &[Var("DRONE_STEP_NAME")],
        run: &[Number("DRONE_BUILD_NUMBER")],
        url: &[Var("DRONE_BUILD_LINK")],
        runner: &[Var("DRONE_STAGE_MACHINE")],
        ..NONE
    },
    Vendor {
        system: "teamcity",
        mark: ("TEAMCITY_VERSION", None),
        revision: &[Var("BUILD_VCS_NUMBER")],
        pipeline: &[Var("TEAMCITY_PROJECT_NAME")],
        job: &[Var("TEAMCITY_BUILDCONF_NAME")],
        run: &[Var("BUILD_NUMBER")],
        url: &[Var("BUILD_URL")],
        ..NONE
    },
    Vendor {
        system: "azure",
        mark: ("TF_BUILD", None),
        repository: &[Var("BUILD_REPOSITORY_NAME")],
        branch: &[
            Branch("SYSTEM_PULLREQUEST_SOURCEBRANCH"),
            Branch("BUILD_SOURCEBRANCH"),
        ],
        base_branch: &[Branch("SYSTEM_PULLREQUEST_TARGETBRANCH")],
        change: &[
            Number("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER"),
            Number("SYSTEM_PULLREQUEST_PULLREQUESTID"),
        ],
        revision: &[Hash("BUILD_SOURCEVERSION")],
        pipeline: &[Var("BUILD_DEFINITIONNAME")],
        job: &[Var("SYSTEM_JOBDISPLAYNAME")],
        run: &[Number("BUILD_BUILDID")],
        attempt: &[Number("SYSTEM_JOBATTEMPT")],
        url: &[Address(&[
            Piece::Base("SYSTEM_COLLECTIONURI"),
            Piece::Text("/"),
            Piece::Var("SYSTEM_TEAMPROJECT"),
            // A number, and the page has no other address.
            Piece::Text("/_build/results?buildId="),
            Piece::Var("BUILD_BUILDID"),
        ])],
        runner: &[Var("AGENT_NAME")],
    },
    Vendor {
        system: "bitbucket",
        mark: ("BITBUCKET_BUILD_NUMBER", None),
        repository: &[Var("BITBUCKET_REPO_FULL_NAME")],
        branch: &[Var("BITBUCKET_BRANCH")],
        base_branch: &[Var("BITBUCKET_PR_DESTINATION_BRANCH")],
        change: &[Number("BITBUCKET_PR_ID")],
        revision: &[Hash("BITBUCKET_COMMIT")],
        job: &[Var("BITBUCKET_STEP_UUID")],
        run: &[Number("BITBUCKET_BUILD_NUMBER")],
        attempt: &[Number("BITBUCKET_STEP_RUN_NUMBER")],
        url: &[Address(&[
            Piece::Text("https://bitbucket.org/"),
            Piece::Var("BITBUCKET_REPO_FULL_NAME"),
            Piece::Text("/pipelines/results/"),
            Piece::Var("BITBUCKET_BUILD_NUMBER"),
        ])],
        ..NONE
    },
    Vendor {
        system: "prow",
        mark: ("PROW_JOB_ID", None),
        repository: &[Join(&[
            Piece::Var("REPO_OWNER"),
            Piece::Text("/"),
            Piece::Var("REPO_NAME"),
        ])],
        branch: &[Var("PULL_HEAD_REF"), Pushed("PULL_BASE_REF")],
        base_branch: &[Var("PULL_BASE_REF")],
        change: &[Number("PULL_NUMBER")],
        revision: &[Hash("PULL_PULL_SHA"), Hash("PULL_BASE_SHA")],
        job: &[Var("JOB_NAME")],
        run: &[Var("BUILD_ID")],
        ..NONE
    },
    // Tekton sets no variable of its own: a task sets these from `$(context...)` and its parameters.
    Vendor {
        system: "tekton",
        mark: ("TEKTON_TASK_RUN", None),
        repository: &[Var("TEKTON_REPOSITORY")],
        branch: &[Branch("TEKTON_BRANCH")],
        base_branch: &[Branch("TEKTON_BASE_BRANCH")],
        change: &[Number("TEKTON_CHANGE")],
        revision: &[Hash("TEKTON_REVISION")],
        pipeline: &[Var("TEKTON_PIPELINE")],
        job: &[Var("TEKTON_TASK")],
        run: &[Var("TEKTON_PIPELINE_RUN"), Var("TEKTON_TASK_RUN")],
        attempt: &[Number("TEKTON_RETRY")],
        ..NONE
    },
    // Last, because other systems on its nodes also set its variables, whose names are plain.
    Vendor {
        system: "jenkins",
        mark: ("JENKINS_URL", None),
        repository: &[Var("GIT_URL")],
        branch: &[
            Var("CHANGE_BRANCH"),
            Pushed("BRANCH_NAME"),
            Remote("GIT_BRANCH"),
        ],
        base_branch: &[Var("CHANGE_TARGET")],
        change: &[Var("CHANGE_ID")],
        revision: &[Hash("GIT_COMMIT")],
        pipeline: &[Var("JOB_NAME")],
        job: &[Var("STAGE_NAME")],
        run: &[Var("BUILD_NUMBER")],
        url: &[Var("BUILD_URL")],
        runner: &[Var("NODE_NAME")],
        ..NONE
    },
];
