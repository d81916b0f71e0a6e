using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Platform.TestSupport;

/// <summary>TCP ports on the loopback interface.</summary>
public static class FreePort
{
    // Below those that systems give to outgoing connections: what is stopped and started again must find its port free. Above them AppHost takes its own.
    private const int First = 15_000;
    private const int Last = 23_999;
    private const int MostTries = 1000;

    // A port whose server is stopped for a moment looks free to the tests of other processes: each is kept, by a lock on a file, until this process ends.
    private static readonly string Folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), $"platform-ports-{Environment.UserName}")).FullName;
    private static readonly ConcurrentBag<FileStream> Kept = [];

    /// <summary>A port that nobody uses now, that no outgoing connection is given, and that no other test is given.</summary>
    public static int Next()
    {
        for (var tries = 1; ; tries++)
        {
            var port = Random.Shared.Next(First, Last + 1);
            try
            {
                var kept = new FileStream(Path.Combine(Folder, port.ToString(CultureInfo.InvariantCulture)), FileMode.OpenOrCreate, FileAccess.Write, FileShare.None);
                // the system's list of listeners would say it too, and costs a walk through all its connections
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
