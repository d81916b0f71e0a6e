using System.Globalization;
using System.Net;
using Platform.Drill.Planning;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.Drill.Systems;

/// <summary>A process of a service, with proxies in front of it and in front of its database.</summary>
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

    /// <summary>The proxy between the process and its database.</summary>
    public PostgresFaultProxy Database { get; }

    /// <summary>The proxy for clients.</summary>
    public TcpFaultProxy Front { get; }

    /// <summary>The proxy for other services.</summary>
    public TcpFaultProxy Inner { get; }

    /// <summary>Held by the fault that kills or pauses the process until it runs again.</summary>
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
