using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>
/// Implements <c>Idempotency-Key</c> for all methods but GET and HEAD. Claims the key before the handler runs, or replays the stored response. Afterwards it stores a final
/// response (2xx to 4xx, except 401, 408, 425 and 429), or releases the key so that the client can retry. Handlers that change data store the response in their own
/// transaction (<see cref="Idempotency.CommitAsync{T}"/>).
/// </summary>
internal sealed class IdempotencyMiddleware : IEndpointMiddleware
{
    public const string HeaderName = "Idempotency-Key";
    public const string ReplayedHeaderName = "Idempotency-Replayed";

    private const string AnonymousCaller = "anonymous";

    private static readonly string[] StoredHeaders = ["Content-Type", "Location", "ETag"];

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        var header = context.Request.Headers[HeaderName];
        if (header.Count == 0 || HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method))
        {
            await next(context);
            return;
        }

        if (header.Count > 1 || !IdempotencyKey.TryParse(header[0], out var key))
        {
            var errors = new ValidationErrors();
            errors.Add(HeaderName, "must be one value of 1 to 255 visible ASCII characters, quoted if it contains a comma, a semicolon or a quotation mark");
            await errors.ToResult().ExecuteAsync(context);
            return;
        }

        var store = context.RequestServices.GetRequiredService<IdempotencyStore>();
        var cancellationToken = context.RequestAborted;
        var result = await store.ClaimAsync(CallerOf(context), key, await FingerprintAsync(context, cancellationToken), cancellationToken);
        if (result.Claim is { } claim)
        {
            await RunAsync(context, next, store, claim);
        }
        else if (result.Response is { } response)
        {
            await ReplayAsync(context, response);
        }
        else if (result.OtherRequest)
        {
            await Problem.Unprocessable($"This {HeaderName} was used for another request. Use a new one.").ExecuteAsync(context);
        }
        else
        {
            await InProgress().ExecuteAsync(context);
        }
    }

    public static IReadOnlyDictionary<string, string> HeadersToStore(IHeaderDictionary headers) =>
        StoredHeaders.Where(headers.ContainsKey).ToDictionary(name => name, name => headers[name].ToString(), StringComparer.OrdinalIgnoreCase);

    private static async Task RunAsync(HttpContext context, RequestDelegate next, IdempotencyStore store, IdempotencyClaim claim)
    {
        var idempotency = context.RequestServices.GetRequiredService<Idempotency>();
        idempotency.Begin(context, claim);
        var client = context.Response.Body;
        using var buffer = new MemoryStream();
        context.Response.Body = buffer;
        try
        {
            await next(context);
            if (!idempotency.IsAnswered)
            {
                // The handler didn't call CommitAsync, so nothing was changed and a 4xx can be stored as final. If the client has disconnected, the buffered response may be
                // truncated, so the key is released instead.
                if (IsFinal(context.Response.StatusCode) && !context.RequestAborted.IsCancellationRequested)
                {
                    if (!await store.CompleteAsync(claim, new(context.Response.StatusCode, HeadersToStore(context.Response.Headers), buffer.ToArray()), CancellationToken.None))
                    {
                        // Another request took over the key and may have got another response, so don't send this one.
                        throw new ClaimLostException();
                    }
                }
                else
                {
                    await store.ReleaseAsync(claim, CancellationToken.None);
                }
            }
        }
        catch (ClaimLostException)
        {
            context.Response.Body = client;
            context.Response.Clear();
            await InProgress().ExecuteAsync(context);
            return;
        }
        catch when (!idempotency.IsAnswered)
        {
            await store.ReleaseAsync(claim, CancellationToken.None);
            throw;
        }
        finally
        {
            context.Response.Body = client;
        }

        buffer.Position = 0;
        await buffer.CopyToAsync(client, context.RequestAborted);
    }

    // Keys are scoped to the authenticated caller; all anonymous callers share one scope.
    private static string CallerOf(HttpContext context) =>
        context.User.FindFirstValue(ClaimTypes.NameIdentifier) is { } caller && caller != context.RequestServices.GetRequiredService<IOptions<IdempotencyOptions>>().Value.FormerlyAnonymous
            ? caller
            : AnonymousCaller;

    private static bool IsFinal(int status) => status is >= 200 and < 500 and not (401 or 408 or 425 or 429);

    private static RetryableProblem InProgress() =>
        Problem.Conflict($"A request with this {HeaderName} is in progress. Ask again in a moment.", TimeSpan.FromSeconds(1));

    private static async Task ReplayAsync(HttpContext context, StoredResponse response)
    {
        context.Response.StatusCode = response.Status;
        foreach (var (name, value) in response.Headers)
        {
            context.Response.Headers[name] = value;
        }

        context.Response.Headers[ReplayedHeaderName] = "true";
        context.Response.ContentLength = response.Body.Length;
        await context.Response.Body.WriteAsync(response.Body, context.RequestAborted);
    }

    private static async Task<byte[]> FingerprintAsync(HttpContext context, CancellationToken cancellationToken)
    {
        var request = context.Request;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        // If-Match is part of the fingerprint: the same body with another precondition is a different request.
        hash.AppendData(Encoding.UTF8.GetBytes($"{request.Method}\n{request.PathBase}{request.Path}{request.QueryString}\n{request.Headers.IfMatch}\n"));
        request.EnableBuffering();
        var buffer = new byte[16 * 1024];
        for (int read; (read = await request.Body.ReadAsync(buffer, cancellationToken)) > 0;)
        {
            hash.AppendData(buffer, 0, read);
        }

        request.Body.Position = 0;
        return hash.GetHashAndReset();
    }
}

/// <summary>Parses the header: a quoted string as in the IETF draft, or the bare form that most clients send.</summary>
internal static class IdempotencyKey
{
    private const int MaxLength = 255;

    public static bool TryParse(string? header, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out string? key)
    {
        key = null;
        var text = header?.Trim(' ', '\t') ?? "";
        if (!text.StartsWith('"'))
        {
            key = text;
            return text.Length is > 0 and <= MaxLength && text.All(c => c is > ' ' and < '\x7f' and not ('"' or ',' or ';'));
        }

        var value = new StringBuilder();
        for (var i = 1; i < text.Length; i++)
        {
            switch (text[i])
            {
                case '"':
                    key = value.ToString();
                    return i == text.Length - 1 && key.Length is > 0 and <= MaxLength;
                case '\\' when i + 1 < text.Length && text[i + 1] is '"' or '\\':
                    value.Append(text[++i]);
                    break;
                case > ' ' and < '\x7f' and not '\\':
                    value.Append(text[i]);
                    break;
                default:
                    return false;
            }
        }

        return false;
    }
}
