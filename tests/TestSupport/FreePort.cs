using System.Net;
using System.Net.Sockets;

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
        while (true)
        {
            try
            {
                // the system's list of listeners would say it too, and costs a walk through all its connections
                using var listener = new TcpListener(IPAddress.Loopback, Random.Shared.Next(First, Last + 1));
                listener.Start();
                return ((IPEndPoint)listener.LocalEndpoint).Port;
            }
            catch (SocketException exception) when (exception.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
            }
        }
    }
}
