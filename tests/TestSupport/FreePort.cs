using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Platform.TestSupport;

/// <summary>TCP ports on the loopback interface.</summary>
public static class FreePort
{
    // Below the ephemeral port range, so that a port is still free after a restart. AppHost uses 24,000 to 31,999.
    private const int First = 15_000;
    private const int Last = 23_999;
    private const int MostTries = 1000;

    // While a server restarts, its port looks free to other test processes. So each port is reserved by a file lock until this process exits.
    private static readonly string Folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), $"platform-ports-{Environment.UserName}")).FullName;
    private static readonly ConcurrentBag<FileStream> Kept = [];

    /// <summary>Returns a port that is unused, outside the ephemeral range, and not given to another test.</summary>
    public static int Next()
    {
        for (var tries = 1; ; tries++)
        {
            var port = Random.Shared.Next(First, Last + 1);
            try
            {
                var kept = new FileStream(Path.Combine(Folder, port.ToString(CultureInfo.InvariantCulture)), FileMode.OpenOrCreate, FileAccess.Write, FileShare.None);
                // Binding is cheaper than listing the system's listeners, which enumerates all connections.
                using var listener = new TcpListener(IPAddress.Loopback, port);
                listener.Start();
                Kept.Add(kept);
                return port;
            }
            catch (Exception exception) when (tries < MostTries && exception is IOException or SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse })
            {
            }
        }
    }
}
