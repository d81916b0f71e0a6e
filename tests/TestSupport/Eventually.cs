using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Platform.TestSupport;

/// <summary>Repeats an assertion until it holds, for what happens in another process or thread.</summary>
public static class Eventually
{
    // Only ends a test that would hang, so it must be longer than anything takes on a busy machine.
    private static readonly TimeSpan DefaultDeadline = TimeSpan.FromSeconds(60);

    /// <summary>Runs <paramref name="assertion"/> until it does not throw. Fails with its last exception after <paramref name="within"/> (60 s).</summary>
    public static Task Async(Func<Task> assertion, TimeSpan? within = null, CancellationToken cancellationToken = default) =>
        Async(async () =>
        {
            await assertion();
            return true;
        }, within, cancellationToken);

    /// <summary>Runs <paramref name="assertion"/> until it does not throw and returns what it returned.</summary>
    public static async Task<T> Async<T>(Func<Task<T>> assertion, TimeSpan? within = null, CancellationToken cancellationToken = default)
    {
        var deadline = within ?? DefaultDeadline;
        var watch = Stopwatch.StartNew();
        for (var tries = 1; ; tries++)
        {
            try
            {
                return await assertion();
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                if (watch.Elapsed > deadline)
                {
                    throw new TimeoutException($"Not within {deadline.TotalSeconds:0.#} s ({tries} tries). At last: {exception.Message}", exception);
                }
            }

            await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(5 * tries, 50)), cancellationToken);
        }
    }

    /// <summary>Waits until <paramref name="condition"/> is true.</summary>
    public static Task TrueAsync(
        Func<Task<bool>> condition, TimeSpan? within = null, [CallerArgumentExpression(nameof(condition))] string description = "", CancellationToken cancellationToken = default) =>
        Async(async () => await condition() ? true : throw new InvalidOperationException($"{description} is false."), within, cancellationToken);

    /// <summary>Waits until <paramref name="condition"/> is true.</summary>
    public static Task TrueAsync(
        Func<bool> condition, TimeSpan? within = null, [CallerArgumentExpression(nameof(condition))] string description = "", CancellationToken cancellationToken = default) =>
        Async(() => condition() ? Task.CompletedTask : throw new InvalidOperationException($"{description} is false."), within, cancellationToken);
}
