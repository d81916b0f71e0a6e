namespace Platform.Drill.Planning;

/// <summary>What a client does.</summary>
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

/// <summary>One operation of a shop's client. It is begun at its time, or when the one before it has been answered.</summary>
/// <param name="Number">Its place among all operations of the schedule.</param>
/// <param name="Shop">Whose.</param>
/// <param name="Kind">What.</param>
/// <param name="At">When, from the schedule's beginning.</param>
/// <param name="Key">Whether it carries an Idempotency-Key; without one it is sent once, whatever becomes of it.</param>
/// <param name="Twice">Whether it is sent to two backends at the same moment, with the same key.</param>
/// <param name="Version">Which version of the template it asks for, if it does.</param>
/// <param name="Backend">Which backend is asked first.</param>
internal sealed record Operation(int Number, int Shop, OperationKind Kind, TimeSpan At, bool Key, bool Twice, int Version, int Backend);

/// <summary>What goes wrong. Each of these is a line of the closing table.</summary>
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

/// <summary>The parts of the system that faults are put on.</summary>
internal enum Role
{
    Backend,
    Deployer,
    Registry,
}

/// <summary>The commits around which processes are killed, paused and cut off: those between which an invariant could break.</summary>
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

/// <summary>One fault.</summary>
/// <param name="Number">Its place in the schedule.</param>
/// <param name="Kind">What.</param>
/// <param name="At">When it begins, or begins to wait for its commit.</param>
/// <param name="Role">On what, where the kind leaves that open.</param>
/// <param name="Index">On which of the role's processes.</param>
/// <param name="Point">At which commit, of whichever process comes to it.</param>
/// <param name="Occurrence">At how manieth such commit.</param>
/// <param name="Lasts">How long it lasts, or how long a killed process stays away.</param>
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

/// <summary>Everything that is decided about one run, and all of it by the seed.</summary>
internal sealed record Schedule(int Seed, IReadOnlyList<IReadOnlyList<Operation>> Shops, IReadOnlyList<PlannedFault> Faults)
{
    // a rolling update of all takes some ten seconds, a schedule by itself two or three
    private const int Stretch = 4;

    /// <summary>The versions of the template that work; one more does not.</summary>
    public const int Versions = 3;

    private const int ShopCount = 3;

    // a pause must outlast the leases, which are 1.5 s here
    private static readonly TimeSpan PastTheLease = TimeSpan.FromSeconds(1.8);

    // how often each kind is drawn, in proportion: a stop of PostgreSQL takes longest and hits everything
    private static readonly (FaultKind Kind, int Weight)[] Weights =
    [
        (FaultKind.Kill, 6), (FaultKind.KillBeforeCommit, 7), (FaultKind.KillAfterCommit, 7),
        (FaultKind.Pause, 8), (FaultKind.PauseBeforeCommit, 8), (FaultKind.PauseAfterCommit, 10),
        (FaultKind.CutBeforeCommit, 9), (FaultKind.CutAfterCommit, 9), (FaultKind.Delay, 12),
        (FaultKind.ConnectionStorm, 6), (FaultKind.PostgresStopped, 5), (FaultKind.RepliesDropped, 10), (FaultKind.CacheDeleted, 6),
    ];

    private static readonly CommitPoint[] Points = Enum.GetValues<CommitPoint>();

    public int OperationCount => Shops.Sum(shop => shop.Count);

    /// <summary>Whether every process is replaced by one of the other version, while the clients go on.</summary>
    public bool RollsOut { get; private init; }

    /// <summary>The same operations, over the time of a rolling update instead of faults.</summary>
    public Schedule DuringRollout() => this with
    {
        RollsOut = true,
        Faults = [],
        Shops = [.. Shops.Select(shop => (IReadOnlyList<Operation>)[.. shop.Select(operation => operation with { At = operation.At * Stretch })])],
    };

    public static Schedule Generate(int seed)
    {
        // neighbouring seeds of System.Random give related numbers
        var random = new Random(unchecked((int)((uint)seed * 2654435761u) ^ 0x5bd1e995));
        var number = 0;
        var shops = Enumerable.Range(0, ShopCount).Select(shop => (IReadOnlyList<Operation>)[.. Operations(shop).ToList()]).ToList();
        var faults = Enumerable.Range(0, random.Next(3, 6)).Select(Fault).OrderBy(fault => fault.At).ToList();
        return new(seed, shops, faults);

        IEnumerable<Operation> Operations(int shop)
        {
            var count = random.Next(7, 10);
            var at = TimeSpan.FromMilliseconds(random.Next(0, 60));
            // most shops outlive the schedule: there is more to look at
            var deleted = random.Next(3) == 0 ? random.Next(count - 3, count) : count;
            for (var n = 0; n < count; n++)
            {
                var kind = n switch
                {
                    0 => OperationKind.Create,
                    1 => OperationKind.Deploy,
                    _ when n == deleted => OperationKind.Delete,
                    // after a deletion the address is free for a new shop as soon as the store is down
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
                // who does not know whether the shop is there can do nothing further with it
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
            // only what holds no lock must keep its lease while it is held up, so that is where it is held up most
            if (kind == FaultKind.Delay && random.Next(2) == 0)
                point = CommitPoint.Verify;
            var lasts = kind switch
            {
                FaultKind.Pause or FaultKind.PauseBeforeCommit or FaultKind.PauseAfterCommit or FaultKind.Delay => PastTheLease + TimeSpan.FromMilliseconds(random.Next(0, 300)),
                FaultKind.RepliesDropped => TimeSpan.FromMilliseconds(random.Next(150, 500)),
                FaultKind.ConnectionStorm => TimeSpan.FromMilliseconds(random.Next(300, 700)),
                _ => TimeSpan.FromMilliseconds(random.Next(0, 400)),
            };
            return new(n, kind, TimeSpan.FromMilliseconds(random.Next(50, 1500)), role, random.Next(12), point, random.Next(1, 4), lasts);
        }
    }
}
