using System.Net.NetworkInformation;

namespace Platform.TestSupport;

/// <summary>TCP ports on the loopback interface.</summary>
public static class FreePort
{
    // Below those that systems give to outgoing connections: what is stopped and started again must find its port free.
    private const int First = 15_000;
    private const int Last = 31_999;

    /// <summary>A port that nobody uses now and that no outgoing connection is given.</summary>
    public static int Next()
    {
        var used = IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Select(listener => listener.Port).ToHashSet();
        while (true)
        {
            var port = Random.Shared.Next(First, Last + 1);
            if (!used.Contains(port))
                return port;
        }
    }
}
