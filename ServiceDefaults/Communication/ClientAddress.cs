using System.Net;
using System.Net.Sockets;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// What an address stands for when clients are told apart by it: that of the connection, of which an IPv6 client has a whole /64. <c>X-Forwarded-For</c> says whatever its
/// sender likes and is not looked at.
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
