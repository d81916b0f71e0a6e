using System.Net;
using System.Net.Sockets;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Identifies a client by its connection's address; for IPv6 by the /64 network, since one client usually has a whole one. <c>X-Forwarded-For</c> is ignored because anybody can
/// set it.
/// </summary>
internal static class ClientAddress
{
    public static IPAddress Of(HttpContext context)
    {
        var address = context.Connection.RemoteIpAddress;
        return address is null ? IPAddress.None
            : address.AddressFamily != AddressFamily.InterNetworkV6 ? address
            : address.IsIPv4MappedToIPv6 ? address.MapToIPv4()
            : NetworkOf(address);
    }

    private static IPAddress NetworkOf(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out _);
        bytes[8..].Clear();
        return new(bytes);
    }
}
