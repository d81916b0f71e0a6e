using System.Globalization;
using System.Net;
using Platform.Drill.Planning;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.Drill.Systems;

/// <summary>One process of a service, with the proxies on the ways to it and to its database.</summary>
internal sealed class DrilledService : ServiceProcess
{
    public DrilledService(Role role, int index, string service, string folder, int postgresPort)
        : base(string.Create(CultureInfo.InvariantCulture, $"{role.ToString().ToLowerInvariant()}-{index}"), service, folder)
    {
        (Role, Index) = (role, index);
        Database = new PostgresFaultProxy(() => new IPEndPoint(IPAddress.Loopback, postgresPort));
        Front = new TcpFaultProxy(_ => ValueTask.FromResult<EndPoint>(new IPEndPoint(IPAddress.Loopback, Port)));
        Inner = new TcpFaultProxy(_ => ValueTask.FromResult<EndPoint>(new IPEndPoint(IPAddress.Loopback, Port)));
    }

    public Role Role { get; }

    public int Index { get; }

    /// <summary>On the way to its database.</summary>
    public PostgresFaultProxy Database { get; }

    /// <summary>On the way that clients take to it.</summary>
    public TcpFaultProxy Front { get; }

    /// <summary>On the way that other services take to it.</summary>
    public TcpFaultProxy Inner { get; }

    /// <summary>Taken by whoever kills or pauses it until it is well again.</summary>
    public SemaphoreSlim Victim { get; } = new(1);

    public string CacheDirectory => Path.Combine(Folder, "cache");

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Front.DisposeAsync();
        await Inner.DisposeAsync();
        await Database.DisposeAsync();
        Victim.Dispose();
    }
}
