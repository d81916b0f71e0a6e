using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Packages;

/// <summary>Servers that answer as they are told.</summary>
internal static class Server
{
    /// <summary>Answers by code.</summary>
    /// <param name="answer">Is given the request and its number, from 1.</param>
    public static Task<StubService> StartAsync(Func<HttpContext, int, Task> answer)
    {
        var requests = 0;
        return StubService.StartAsync(app => app.Run(context => answer(context, Interlocked.Increment(ref requests))));
    }

    /// <summary>Answers with one status after the other, the last one for ever.</summary>
    public static Task<StubService> StartAsync(params int[] statuses) => StartAsync((context, number) =>
    {
        context.Response.StatusCode = statuses[Math.Min(number, statuses.Length) - 1];
        return Task.CompletedTask;
    });

    /// <summary>Answers with a text.</summary>
    public static Task<StubService> StartAsync(string body) => StartAsync((context, _) => context.Response.WriteAsync(body));
}
