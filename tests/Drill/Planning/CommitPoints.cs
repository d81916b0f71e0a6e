namespace Platform.Drill.Planning;

/// <summary>How a commit is recognised: by the service that makes it and part of one of its statements.</summary>
internal static class CommitPoints
{
    public static Role RoleOf(CommitPoint point) => point switch
    {
        CommitPoint.Accept or CommitPoint.ClaimKey or CommitPoint.ReceiveAtBackend or CommitPoint.SentFromBackend => Role.Backend,
        _ => Role.Deployer,
    };

    /// <summary>Part of a statement that occurs only in this transaction.</summary>
    public static string MarkOf(CommitPoint point) => point switch
    {
        CommitPoint.Accept => "insert into deployments",
        CommitPoint.ClaimKey => "insert into idempotency_keys",
        CommitPoint.ReceiveAtDeployer or CommitPoint.ReceiveAtBackend => "insert into inbox (",
        CommitPoint.SentFromBackend or CommitPoint.SentFromDeployer => "delete from outbox where id",
        CommitPoint.ClaimDeployment => "fencing_token = fencing_token + 1",
        CommitPoint.StoreRelease => "insert into release_files",
        CommitPoint.Verify => "sha256(f.content)",
        CommitPoint.Activate => "set active_release = ",
        _ => throw new ArgumentOutOfRangeException(nameof(point), point, null),
    };
}
