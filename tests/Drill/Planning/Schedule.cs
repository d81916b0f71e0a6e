namespace Platform.Drill.Planning;

/// <summary>The operations of clients.</summary>
internal enum OperationKind
{
    Create,
    Change,
    Deploy,
    DeployBroken,
    Cancel,
    Retry,
    RollBack,
    Delete,
}

/// <summary>One operation of a shop's client. It starts at its time, or later when the previous one is finished.</summary>
/// <param name="Number">Its number in the schedule.</param>
/// <param name="Shop">The index of the shop.</param>
/// <param name="Kind">The kind of operation.</param>
/// <param name="At">Its time, from the beginning of the schedule.</param>
/// <param name="Key">Whether it has an Idempotency-Key; without one it is sent only once.</param>
/// <param name="Twice">Whether it is sent to two backends concurrently with the same key.</param>
/// <param name="Version">The version of the template, if the operation needs one.</param>
/// <param name="Backend">The backend that is called first.</param>
internal sealed record Operation(int Number, int Shop, OperationKind Kind, TimeSpan At, bool Key, bool Twice, int Version, int Backend);

/// <summary>The kinds of faults. Each has a line in the summary.</summary>
internal enum FaultKind
{
    Kill,
    KillBeforeCommit,
    KillAfterCommit,
    Pause,
    PauseBeforeCommit,
    PauseAfterCommit,
    CutBeforeCommit,
    CutAfterCommit,
    Delay,
    ConnectionStorm,
    PostgresStopped,
    RepliesDropped,
    CacheDeleted,
}

/// <summary>The services affected by faults.</summary>
internal enum Role
{
    Backend,
    Deployer,
    Registry,
}

/// <summary>The commits at which processes are killed, paused or disconnected, because a fault there is most likely to break an invariant.</summary>
internal enum CommitPoint
{
    Accept,
    ClaimKey,
    ReceiveAtDeployer,
    ReceiveAtBackend,
    SentFromBackend,
    SentFromDeployer,
    ClaimDeployment,
    StoreRelease,
    Verify,
    Activate,
}

/// <summary>A planned fault.</summary>
/// <param name="Number">Its number in the schedule.</param>
/// <param name="Kind">The kind of fault.</param>
/// <param name="At">When it begins, or begins to wait for its commit.</param>
/// <param name="Role">The service, if the kind doesn't determine it.</param>
/// <param name="Index">The index of the service's process.</param>
/// <param name="Point">The commit, for faults around commits.</param>
/// <param name="Occurrence">Which of the matching commits, from 1.</param>
/// <param name="Lasts">How long it lasts, or how long a killed process stays down.</param>
internal sealed record PlannedFault(int Number, FaultKind Kind, TimeSpan At, Role Role, int Index, CommitPoint Point, int Occurrence, TimeSpan Lasts)
{
    public bool IsAroundCommit => Kind is FaultKind.KillBeforeCommit or FaultKind.KillAfterCommit or FaultKind.PauseBeforeCommit or FaultKind.PauseAfterCommit
        or FaultKind.CutBeforeCommit or FaultKind.CutAfterCommit or FaultKind.Delay;

    public bool AfterCommit => Kind is FaultKind.KillAfterCommit or FaultKind.PauseAfterCommit or FaultKind.CutAfterCommit;

    public override string ToString() =>
        IsAroundCommit ? $"{Kind} at commit {Point} #{Occurrence} from {At.TotalSeconds:0.00} s, lasts {Lasts.TotalSeconds:0.00} s"
        : Kind is FaultKind.ConnectionStorm or FaultKind.PostgresStopped ? $"{Kind} at {At.TotalSeconds:0.00} s for {Lasts.TotalSeconds:0.00} s"
        : $"{Kind} on {Role} {Index} at {At.TotalSeconds:0.00} s for {Lasts.TotalSeconds:0.00} s";
}

/// <summary>The operations and faults of one run, which depend only on the seed.</summary>
internal sealed record Schedule(int Seed, IReadOnlyList<IReadOnlyList<Operation>> Shops, IReadOnlyList<PlannedFault> Faults)
{
    // A rolling update takes some ten seconds, a normal schedule two or three.
    private const int Stretch = 4;

    /// <summary>The number of valid versions of the template; one more is broken.</summary>
    public const int Versions = 3;

    private const int ShopCount = 3;

    // Pauses must be longer than the leases, which are 1.5 s here.
    private static readonly TimeSpan LongerThanLease = TimeSpan.FromSeconds(1.8);

    // The relative frequency of each kind. PostgresStopped is rare because it takes longest and affects everything.
    private static readonly (FaultKind Kind, int Weight)[] Weights =
    [
        (FaultKind.Kill, 6), (FaultKind.KillBeforeCommit, 7), (FaultKind.KillAfterCommit, 7),
        (FaultKind.Pause, 8), (FaultKind.PauseBeforeCommit, 8), (FaultKind.PauseAfterCommit, 10),
        (FaultKind.CutBeforeCommit, 9), (FaultKind.CutAfterCommit, 9), (FaultKind.Delay, 12),
        (FaultKind.ConnectionStorm, 6), (FaultKind.PostgresStopped, 5), (FaultKind.RepliesDropped, 10), (FaultKind.CacheDeleted, 6),
    ];

    private static readonly CommitPoint[] Points = Enum.GetValues<CommitPoint>();

    public int OperationCount => Shops.Sum(shop => shop.Count);

    /// <summary>Whether all processes are replaced by the other version during the operations.</summary>
    public bool RollsOut { get; private init; }

    /// <summary>The same operations without faults, spread over the duration of a rolling update.</summary>
    public Schedule DuringRollout() => this with
    {
        RollsOut = true,
        Faults = [],
        Shops = [.. Shops.Select(shop => (IReadOnlyList<Operation>)[.. shop.Select(operation => operation with { At = operation.At * Stretch })])],
    };

    public static Schedule Generate(int seed)
    {
        // Mixed because neighbouring seeds of System.Random give related numbers.
        var random = new Random(unchecked((int)((uint)seed * 2654435761u) ^ 0x5bd1e995));
        var number = 0;
        var shops = Enumerable.Range(0, ShopCount).Select(shop => (IReadOnlyList<Operation>)[.. Operations(shop).ToList()]).ToList();
        var faults = Enumerable.Range(0, random.Next(3, 6)).Select(Fault).OrderBy(fault => fault.At).ToList();
        return new(seed, shops, faults);

        IEnumerable<Operation> Operations(int shop)
        {
            var count = random.Next(7, 10);
            var at = TimeSpan.FromMilliseconds(random.Next(0, 60));
            // Most shops are not deleted, so that there is more to check.
            var deleted = random.Next(3) == 0 ? random.Next(count - 3, count) : count;
            for (var n = 0; n < count; n++)
            {
                var kind = n switch
                {
                    0 => OperationKind.Create,
                    1 => OperationKind.Deploy,
                    _ when n == deleted => OperationKind.Delete,
                    // After a deletion the slug becomes free for a new shop once the store is taken down.
                    _ when n > deleted => n % 2 == 0 ? OperationKind.Create : OperationKind.Deploy,
                    _ => random.Next(100) switch
                    {
                        < 26 => OperationKind.Change,
                        < 60 => OperationKind.Deploy,
                        < 68 => OperationKind.DeployBroken,
                        < 78 => OperationKind.Cancel,
                        < 86 => OperationKind.Retry,
                        _ => OperationKind.RollBack,
                    },
                };
                // Creating always has a key: the client must know the shop's id for the following operations.
                var key = random.Next(100) < 85 || kind == OperationKind.Create;
                yield return new(number++, shop, kind, at, key, key && random.Next(100) < 25, random.Next(Versions), random.Next(2));
                at += TimeSpan.FromMilliseconds(random.Next(3) == 0 ? random.Next(0, 20) : random.Next(40, 330));
            }
        }

        PlannedFault Fault(int n)
        {
            var draw = random.Next(Weights.Sum(weight => weight.Weight));
            var kind = Weights.First(weight => (draw -= weight.Weight) < 0).Kind;
            var role = random.Next(10) switch { < 4 => Role.Backend, < 9 => Role.Deployer, _ => Role.Registry };
            if (kind == FaultKind.CacheDeleted)
                role = Role.Deployer;
            else if (kind == FaultKind.RepliesDropped && role == Role.Registry)
                role = Role.Backend;
            var point = Points[random.Next(Points.Length)];
            // Half of the delays are in the verify step: it holds no lock, so the lease must be kept during the delay.
            if (kind == FaultKind.Delay && random.Next(2) == 0)
                point = CommitPoint.Verify;
            var lasts = kind switch
            {
                FaultKind.Pause or FaultKind.PauseBeforeCommit or FaultKind.PauseAfterCommit or FaultKind.Delay => LongerThanLease + TimeSpan.FromMilliseconds(random.Next(0, 300)),
                FaultKind.RepliesDropped => TimeSpan.FromMilliseconds(random.Next(150, 500)),
                FaultKind.ConnectionStorm => TimeSpan.FromMilliseconds(random.Next(300, 700)),
                _ => TimeSpan.FromMilliseconds(random.Next(0, 400)),
            };
            return new(n, kind, TimeSpan.FromMilliseconds(random.Next(50, 1500)), role, random.Next(12), point, random.Next(1, 4), lasts);
        }
    }
}
